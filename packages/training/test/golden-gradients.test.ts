// One training step of every golden model: its loss and gradients against those of PyTorch.
import { readFileSync } from 'node:fs';
import { gradients, plainIndices, plainOperations, plainTensor } from '@sentvec/architectures';
import { makeBatch, multipleNegativesRankingLoss, trainableTensors } from '@sentvec/training';
import { goldenPath } from '@sentvec/testing';
import { expect, test } from 'vitest';
import { fixedTensors } from '../src/step/record-step.ts';
import { embedTexts, lossOf } from '../src/step/siamese.ts';
import { column, tiny } from './tiny-model.ts';

/** What PyTorch computes in float64; see gradients.py, which made it. */
interface GoldenGradients {
  /** The rows of the golden cases that are the first and the second texts. */
  readonly anchors: readonly number[];
  readonly positives: readonly number[];
  readonly models: Readonly<
    Record<string, { readonly loss: number; readonly gradients: Readonly<Record<string, Sums>> }>
  >;
}

/** Of a gradient: its Euclidean norm, and its scalar product with cos(0), cos(1), cos(2) … */
type Sums = readonly [norm: number, product: number];

const golden = JSON.parse(readFileSync(goldenPath('gradients.json'), 'utf8')) as GoldenGradients;

test.each(Object.entries(golden.models))('%s', async (name, expected) => {
  const { model, expected: texts } = await tiny(name);
  const batch = makeBatch([column(texts.cases, golden.anchors), column(texts.cases, golden.positives)]);
  const tensors = trainableTensors(model);
  const constants = new Map(
    fixedTensors(model).map(({ name: tensor, data, shape: sizes }) => [tensor, plainTensor(data, sizes)]),
  );
  const positions = [...batch.mask.keys()].filter((position) => batch.mask[position] === 1);
  const shape = [2 * batch.examples, batch.length];
  const found = gradients(
    plainOperations,
    (ops, tracked, fixed) => {
      const weight = (wanted: string) => {
        const constant = constants.get(wanted);
        return constant ? fixed(constant) : tracked[tensors.findIndex((tensor) => tensor.name === wanted)]!;
      };
      const vectors = embedTexts(ops, model, weight, {
        ids: fixed(plainIndices(batch.ids, shape)),
        mask: fixed(plainIndices(batch.mask, shape)),
        poolingMask: fixed(plainTensor(batch.poolingMask, shape)),
        rows: fixed(plainIndices(positions, [positions.length])),
      });
      return lossOf(ops, multipleNegativesRankingLoss(), vectors, 2, batch.examples, undefined);
    },
    tensors.map(({ data, shape: sizes }) => plainTensor(data, sizes)),
  );
  expect(Math.abs(found.value.data[0]! - expected.loss)).toBeLessThan(1e-5);
  const wrong = tensors.flatMap(({ name: tensor }, index) => {
    const [norm, product] = sumsOf(found.gradients[index]!.data);
    const [goldenNorm, goldenProduct] = find(expected.gradients, tensor);
    const allowed = 1e-4 * goldenNorm + 1e-6;
    const isRight = Math.abs(norm - goldenNorm) < allowed && Math.abs(product - goldenProduct) < allowed;
    return isRight ? [] : [`${tensor}: ${norm}, ${product} instead of ${goldenNorm}, ${goldenProduct}`];
  });
  expect(wrong).toEqual([]);
});

function sumsOf(gradient: ArrayLike<number>): Sums {
  const entries = Array.from(gradient);
  return [
    Math.sqrt(entries.reduce((sum, entry) => sum + entry ** 2, 0)),
    entries.reduce((sum, entry, i) => sum + entry * Math.cos(i), 0),
  ];
}

/** The gradient of a tensor, which files may call by a longer name. */
function find(all: GoldenGradients['models'][string]['gradients'], tensor: string): Sums {
  const [, index, part] = /^projection\.(\d+)\.(.+)$/u.exec(tensor) ?? [];
  // The first two modules are encoder and pooling.
  const wanted = index === undefined ? tensor : `${Number(index) + 2}.linear.${part}`;
  const stored = Object.keys(all).find((each) => each === wanted || each.endsWith(`.${wanted}`));
  if (stored === undefined) throw new Error(`There is no gradient of ${wanted} among ${Object.keys(all).join(', ')}.`);
  return all[stored]!;
}
