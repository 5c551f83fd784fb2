import { gradients, plainIndices, plainOperations, plainTensor } from '@sentvec/architectures';
import { trainableTensors, type TrainableModel, type TrainingBatch, type TrainingLoss } from '@sentvec/training';
import { fixedTensors } from '../src/step/record-step.ts';
import { embedTexts, lossOf } from '../src/step/siamese.ts';

/** Computes the loss of an unlabelled batch and the gradients of all trainable tensors, with the plain interpreter. */
export function plainStep(
  model: TrainableModel,
  batch: TrainingBatch,
  loss: TrainingLoss,
): { readonly loss: number; readonly gradients: ReadonlyMap<string, ArrayLike<number>> } {
  const tensors = trainableTensors(model);
  const indices = new Map(tensors.map(({ name }, index) => [name, index]));
  const constants = new Map(fixedTensors(model).map(({ name, data, shape }) => [name, plainTensor(data, shape)]));
  const positions = [...batch.mask.keys()].filter((position) => batch.mask[position] === 1);
  const shape = [batch.columns * batch.examples, batch.length];
  const found = gradients(
    plainOperations,
    (ops, tracked, fixed) => {
      const weight = (name: string) => {
        const constant = constants.get(name);
        return constant ? fixed(constant) : tracked[indices.get(name)!]!;
      };
      const layers: (typeof tracked)[number][] = [];
      const inputs = {
        ids: fixed(plainIndices(batch.ids, shape)),
        mask: fixed(plainIndices(batch.mask, shape)),
        poolingMask: fixed(plainTensor(batch.poolingMask, shape)),
        rows: fixed(plainIndices(positions, [positions.length])),
      };
      const vectors = embedTexts(ops, model, weight, inputs, (layer) => void layers.push(layer));
      const labels = batch.labels && fixed(plainTensor(batch.labels, [batch.examples]));
      const { columns, examples } = batch;
      return lossOf(ops, loss, { vectors, layers, columns, examples, labels });
    },
    tensors.map(({ data, shape: sizes }) => plainTensor(data, sizes)),
  );
  return {
    loss: found.value.data[0]!,
    gradients: new Map(tensors.map(({ name }, index) => [name, found.gradients[index]!.data])),
  };
}

/** A golden gradient, stored as its Euclidean norm and its dot product with cos(0), cos(1), cos(2) … */
export type Sums = readonly [norm: number, product: number];

/**
 * Compares a gradient with the golden one. Returns a description of the difference, or an empty result if they agree.
 */
export function differenceFrom([norm, product]: Sums, gradient: ArrayLike<number>, name: string): string[] {
  const entries = Array.from(gradient);
  const sumOf = (term: (entry: number, i: number) => number) =>
    entries.reduce((sum, entry, i) => sum + term(entry, i), 0);
  const found = [Math.sqrt(sumOf((entry) => entry ** 2)), sumOf((entry, i) => entry * Math.cos(i))] as const;
  const allowed = 1e-4 * norm + 1e-6;
  const isRight = Math.abs(found[0] - norm) < allowed && Math.abs(found[1] - product) < allowed;
  return isRight ? [] : [`${name}: ${found.join(', ')} instead of ${norm}, ${product}`];
}
