// Compares reranker losses with the values and gradients of sentence-transformers.
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { gradients, OnnxRecorder, plainOperations, plainTensor } from '@sentvec/architectures';
import { goldenPath } from '@sentvec/testing';
import { absentDocument, lossFromName } from '@sentvec/training';
import { difference } from './golden-losses.ts';

/** Numbers in nested arrays of any depth. */
type Nested = readonly (number | Nested)[];

interface GoldenScoreLoss {
  readonly name: string;
  readonly loss: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** The scores of each example. */
  readonly scores: Nested;
  readonly labels: readonly (number | readonly number[])[] | null;
  /** The number of documents per list; further scores are padding. */
  readonly lists?: readonly number[];
  readonly value: number;
  readonly gradients: readonly [Nested];
}

const { cases } = JSON.parse(readFileSync(goldenPath('reranker-losses.json'), 'utf8')) as {
  cases: GoldenScoreLoss[];
};

const flatten = (numbers: Nested): number[] =>
  numbers.flatMap((each) => (typeof each === 'number' ? each : flatten(each)));

/**
 * The parameters with the names of sentvec. Each golden case uses all in-batch negatives, because sentvec draws
 * negatives before the loss.
 */
function parametersOf({ loss, params }: GoldenScoreLoss): Record<string, unknown> {
  const { activation, documents: _, eps: __, lambda_weight: ___, ...others } = params;
  const rest: Record<string, unknown> = { ...others };
  if (typeof activation === 'string') rest['activation_fn'] = activation === 'sigmoid' ? 'Sigmoid' : 'Identity';
  if (loss === 'MultipleNegativesRankingLoss') rest['num_negatives'] = 1;
  return rest;
}

describe.each(cases.map((golden) => [golden.name, golden] as const))('%s', (_name, golden) => {
  const loss = lossFromName(golden.loss, parametersOf(golden), 'reranker');
  const examples = golden.scores.length;
  const isOfClasses = golden.loss === 'CrossEntropyLoss';
  const all = golden.scores.map((row) => flatten([row]));
  const expected = golden.gradients[0].map((row) => flatten([row]));
  const width = all[0]!.length;
  // The relevant document of a query is on the diagonal in sentence-transformers, and first in sentvec.
  const place = (row: number, column: number): number =>
    golden.loss === 'MultipleNegativesRankingLoss' ? (row + column) % width : column;
  const columnOf = (rows: readonly (readonly number[])[], column: number) =>
    Float32Array.from(rows, (row, index) => row[place(index, column)]!);
  const columns = isOfClasses ? [Float32Array.from(all.flat())] : all[0]!.map((_, column) => columnOf(all, column));
  const wanted = isOfClasses ? [expected.flat()] : expected[0]!.map((_, column) => columnOf(expected, column));
  const shape = [examples, isOfClasses ? width : 1];
  const labels = golden.labels?.flatMap((label) =>
    typeof label === 'number' || golden.lists === undefined
      ? label
      : [...label, ...Array.from({ length: width - label.length }, () => absentDocument)],
  );
  const labelShape = labels ? [examples, ...(labels.length === examples ? [] : [labels.length / examples])] : [];
  const close = (actual: ArrayLike<number>, column: number) =>
    expect(difference([...Array.from(actual), 1], Float32Array.from([...wanted[column]!, 1]))).toBeLessThan(3e-6);

  it('has the value and gradients of sentence-transformers on the plain interpreter', () => {
    const given = labels && plainTensor(Float32Array.from(labels), labelShape);
    const result = gradients(
      plainOperations,
      (ops, tracked, fixed) => loss.compute(ops, tracked, given && fixed(given)),
      columns.map((column) => plainTensor(column, shape)),
    );
    expect(result.value.data[0]).toBeCloseTo(golden.value, 5);
    for (const [column, gradient] of result.gradients.entries()) close(gradient.data, column);
  });

  it('has the value and gradients of sentence-transformers as a graph on onnxruntime', async () => {
    const recorder = new OnnxRecorder();
    const open = (sizes: readonly number[]) => ['examples', ...sizes.slice(1)];
    const given = labels && recorder.input('labels', 'float', open(labelShape));
    const recorded = gradients(
      recorder.operations,
      (ops, tracked, fixed) => loss.compute(ops, tracked, given && fixed(given)),
      columns.map((_, column) => recorder.input(`scores ${column}`, 'float', open(shape))),
    );
    recorder.output('loss', recorded.value);
    for (const [column, gradient] of recorded.gradients.entries()) recorder.output(`gradient ${column}`, gradient);
    const session = await InferenceSession.create(recorder.encode());
    const feeds = Object.fromEntries(
      columns.map((column, index) => [`scores ${index}`, new Tensor('float32', column, shape)]),
    );
    if (labels) feeds['labels'] = new Tensor('float32', Float32Array.from(labels), labelShape);
    const results = await session.run(feeds);
    expect((results['loss']!.data as Float32Array)[0]).toBeCloseTo(golden.value, 5);
    for (const column of columns.keys()) close(results[`gradient ${column}`]!.data as Float32Array, column);
    await session.release();
  });
});
