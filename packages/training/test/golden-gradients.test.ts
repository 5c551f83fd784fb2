// Compares the loss and gradients of one training step of every golden model with those of PyTorch.
import { readFileSync } from 'node:fs';
import { makeBatch, multipleNegativesRankingLoss } from '@sentvec/training';
import { goldenPath } from '@sentvec/testing';
import { expect, test } from 'vitest';
import { differenceFrom, plainStep, type Sums } from './plain-step.ts';
import { column, tiny } from './tiny-model.ts';

/** Results of PyTorch in float64, written by gradients.py. */
interface GoldenGradients {
  /** Row numbers of the golden cases that are used as the first and second texts. */
  readonly anchors: readonly number[];
  readonly positives: readonly number[];
  readonly models: Readonly<
    Record<string, { readonly loss: number; readonly gradients: Readonly<Record<string, Sums>> }>
  >;
}

const golden = JSON.parse(readFileSync(goldenPath('gradients.json'), 'utf8')) as GoldenGradients;

test.each(Object.entries(golden.models))('%s', async (name, expected) => {
  const { model, expected: texts } = await tiny(name);
  const batch = makeBatch([column(texts.cases, golden.anchors), column(texts.cases, golden.positives)]);
  const found = plainStep(model, batch, multipleNegativesRankingLoss());
  expect(Math.abs(found.loss - expected.loss)).toBeLessThan(1e-5);
  const wrong = [...found.gradients].flatMap(([tensor, gradient]) =>
    differenceFrom(find(expected.gradients, tensor), gradient, tensor),
  );
  expect(wrong).toEqual([]);
});

/** Returns the gradient of a tensor, whose name may have a prefix in the file. */
function find(all: GoldenGradients['models'][string]['gradients'], tensor: string): Sums {
  const [, index, part] = /^projection\.(\d+)\.(.+)$/u.exec(tensor) ?? [];
  // The first two modules are encoder and pooling.
  const wanted = index === undefined ? tensor : `${Number(index) + 2}.linear.${part}`;
  const stored = Object.keys(all).find((each) => each === wanted || each.endsWith(`.${wanted}`));
  if (stored === undefined) throw new Error(`There is no gradient of ${wanted} among ${Object.keys(all).join(', ')}.`);
  return all[stored]!;
}
