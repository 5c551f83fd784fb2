import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { goldenPath } from '@sentvec/testing';
import {
  absolute,
  type Dimension,
  gradients,
  logSoftmax,
  mean,
  normalizeRows,
  OnnxRecorder,
  type Operations,
  plainOperations,
  type PlainTensor,
  plainTensor,
  productOf,
  Tape,
} from '@sentvec/architectures';
import { largestDifference, runOnnx } from './onnx-session.ts';

/** A case of the golden losses. */
interface GoldenLoss {
  readonly name: string;
  readonly embeddings: readonly (readonly (readonly number[])[])[];
  readonly labels: readonly number[] | null;
  readonly value: number;
  readonly gradients: readonly (readonly (readonly number[])[])[];
}

type Loss = <T>(ops: Operations<T>, columns: readonly T[], labels: T | undefined) => T;

const cosine = <T>(ops: Operations<T>, a: T, b: T): T =>
  ops.sum(ops.multiply(normalizeRows(ops, a), normalizeRows(ops, b)), [1]);
const all = <T>(ops: Operations<T>, x: T): readonly number[] => ops.shape(x).map((_, axis) => axis);

const cosineSimilarity: Loss = (ops, [a, b], labels) => {
  const difference = ops.subtract(cosine(ops, a!, b!), labels!);
  return mean(ops, ops.multiply(difference, difference), [0]);
};

const multipleNegatives: Loss = (ops, [anchors, ...others]) => {
  const candidates = normalizeRows(ops, ops.concat(others, 0));
  const scores = ops.multiply(ops.matmul(normalizeRows(ops, anchors!), candidates, { transposeRight: true }), 20);
  const [rows, cols] = ops.shape(scores) as [Dimension, Dimension];
  const own = ops.equal(ops.reshape(ops.toFloat(ops.range(rows)), [rows, 1]), ops.toFloat(ops.range(cols)));
  return ops.multiply(ops.divide(ops.sum(ops.multiply(logSoftmax(ops, scores), own), [0, 1]), ops.size(rows)), -1);
};

const cosent: Loss = (ops, [a, b], labels) => {
  const [count] = ops.shape(labels!) as [Dimension];
  const scores = ops.multiply(cosine(ops, a!, b!), 20);
  const across = <U>(of: Operations<U>, x: U): [U, U] => [of.reshape(x, [count, 1]), of.reshape(x, [1, count])];
  const [scoreI, scoreJ] = across(ops, scores);
  const [labelI, labelJ] = across(ops, labels!);
  const ordered = ops.where(ops.greater(labelJ, labelI), ops.subtract(scoreI, scoreJ), -1e12);
  const flat = ops.reshape(ordered, [1, productOf(ops.shape(ordered))]);
  return ops.logSumExp(ops.concat([ops.constant(Float32Array.of(0), [1, 1]), flat], 1), [0, 1]);
};

const batchHard: Loss = (ops, [x], labels) => {
  const [count] = ops.shape(labels!) as [Dimension];
  const [labelI, labelJ] = [ops.reshape(labels!, [count, 1]), ops.reshape(labels!, [1, count])];
  const own = ops.equal(ops.reshape(ops.toFloat(ops.range(count)), [count, 1]), ops.toFloat(ops.range(count)));
  const same = ops.equal(labelI, labelJ);
  const [normalized, one] = [normalizeRows(ops, x!), 1];
  const distances = ops.subtract(one, ops.matmul(normalized, normalized, { transposeRight: true }));
  const positives = ops.where(ops.multiply(same, ops.subtract(1, own)), distances, 0);
  const negatives = ops.where(same, 1e6, distances);
  const nearest = ops.multiply(ops.max(ops.multiply(negatives, -1), [1]), -1);
  return mean(ops, ops.relu(ops.add(ops.subtract(ops.max(positives, [1]), nearest), 5)), [0]);
};

/** A function with operations that the losses above do not use: slices and absolute values. */
const halves: Loss = (ops, [a, b]) => {
  const [left, right] = [ops.slice(a!, 1, 0, 4), ops.slice(b!, 1, 4, 4)];
  const product = absolute(ops, ops.sum(ops.multiply(left, right), [1]));
  return ops.sum(ops.sqrt(ops.maximum(product, 1e-6)), all(ops, product));
};

const { cases } = JSON.parse(readFileSync(goldenPath('losses.json'), 'utf8')) as {
  readonly cases: readonly GoldenLoss[];
};

const tensor = (rows: readonly (readonly number[])[]): PlainTensor =>
  plainTensor(rows.flat(), [rows.length, rows[0]!.length]);

function plainStep(
  loss: Loss,
  columns: readonly PlainTensor[],
  labels: PlainTensor | undefined,
): ReturnType<typeof gradients<PlainTensor>> {
  return gradients(plainOperations, (ops, tracked, fixed) => loss(ops, tracked, labels && fixed(labels)), columns);
}

/** Records loss and gradients with a dynamic number of examples, and runs the graph. */
async function onnxStep(
  loss: Loss,
  columns: readonly PlainTensor[],
  labels: PlainTensor | undefined,
): Promise<{ readonly value: PlainTensor; readonly gradients: readonly PlainTensor[] }> {
  const recorder = new OnnxRecorder();
  const tape = new Tape(recorder.operations);
  const tracked = columns.map((_, i) => tape.parameter(recorder.input(`column${i}`, 'float', ['examples', 8])));
  const label = labels && tape.fixed(recorder.input('labels', 'float', ['examples']));
  const result = loss(tape.operations, tracked, label);
  recorder.output('value', result.value);
  tape.gradients(result, tracked).forEach((gradient, i) => recorder.output(`gradient${i}`, gradient));
  const feeds = Object.fromEntries(columns.map((column, i) => [`column${i}`, column]));
  const results = await runOnnx(recorder.encode(), { ...feeds, ...(labels && { labels }) });
  return { value: results['value']!, gradients: columns.map((_, i) => results[`gradient${i}`]!) };
}

const goldenLosses: readonly (readonly [golden: string, loss: Loss])[] = [
  ['cosine-similarity', cosineSimilarity],
  ['multiple-negatives-ranking-hard', multipleNegatives],
  ['cosent', cosent],
];

describe('the value and gradient of a loss', () => {
  it.each(goldenLosses)('%s: equals PyTorch, in plain TypeScript and as an ONNX graph', async (name, loss) => {
    const golden = cases.find((each) => each.name === name)!;
    const columns = golden.embeddings.map(tensor);
    const labels = golden.labels === null ? undefined : plainTensor(golden.labels, [golden.labels.length]);
    for (const { value, gradients: found } of [
      plainStep(loss, columns, labels),
      await onnxStep(loss, columns, labels),
    ]) {
      expect(value.shape).toEqual([]);
      expect(Math.abs(value.data[0]! / golden.value - 1)).toBeLessThan(1e-4);
      golden.gradients.forEach((expected, i) => {
        const largest = Math.max(...expected.flat().map(Math.abs));
        expect(largestDifference(found[i]!, tensor(expected)) / largest).toBeLessThan(1e-4);
      });
    }
  });

  it.each([
    ['batch-hard triplets', batchHard],
    ['slices and absolute values', halves],
  ] as const)('%s: the recorded graph equals plain TypeScript', async (_, loss) => {
    const columns = cases.find((each) => each.name === 'cosine-similarity')!.embeddings.map(tensor);
    const labels = plainTensor([0, 1, 0, 2, 1, 0], [6]);
    const used = loss === batchHard ? columns.slice(0, 1) : columns;
    const expected = plainStep(loss, used, labels);
    const found = await onnxStep(loss, used, labels);
    expect(largestDifference(found.value, expected.value)).toBeLessThan(1e-5);
    expected.gradients.forEach((gradient, i) =>
      expect(largestDifference(found.gradients[i]!, gradient)).toBeLessThan(1e-5),
    );
  });
});
