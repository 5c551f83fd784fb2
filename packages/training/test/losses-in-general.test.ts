import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { gradients, OnnxRecorder, plainOperations, plainTensor } from '@sentvec/architectures';
import {
  batchHardTripletLoss,
  contrastiveLoss,
  cosentLoss,
  distillKlDivLoss,
  embedDistillLoss,
  gistEmbedLoss,
  globalOrthogonalRegularizationLoss,
  lossFromName,
  lossNames,
  marginMseLoss,
  multipleNegativesRankingLoss,
  multipleNegativesSymmetricRankingLoss,
  onlineContrastiveLoss,
  Random,
  tripletLoss,
} from '@sentvec/training';
import { goldenLosses } from './golden-losses.ts';
import { references } from './loss-reference.ts';

const width = 6;
const random = new Random(5);
const column = (rows: number) =>
  Array.from({ length: rows }, () => Array.from({ length: width }, () => random.normal()));
const vectors = (rows: number) => column(rows);

interface LossCase {
  readonly loss: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly columns: readonly (readonly (readonly number[])[])[];
  readonly labels: readonly (number | readonly number[])[];
}

/** Returns random columns with a number of rows. */
function of(
  loss: string,
  parameters: object,
  columns: number,
  rows: number,
  labels: LossCase['labels'] = [],
): LossCase {
  return { loss, parameters: { ...parameters }, columns: Array.from({ length: columns }, () => column(rows)), labels };
}

const scores = [0.2, 0.9, 0.9, 0.4, 0.2];
const matryoshka = (loss: string, inner: object, weights = [1, 0.5]) => ({
  loss,
  loss_params: inner,
  dims: [6, 4],
  weights,
});
const cases: LossCase[] = [
  of('CosineSimilarityLoss', {}, 2, 1, [0.3]),
  of('CosineSimilarityLoss', {}, 2, 5, scores),
  ...['cosine', 'euclidean', 'manhattan'].flatMap((distance) => [
    of('TripletLoss', { distance, margin: 0.7 }, 3, 5),
    of('ContrastiveLoss', { distance, margin: 1.5, size_average: false }, 2, 5, [1, 0, 0, 1, 0]),
    of('ContrastiveLoss', { distance, margin: 1.5, size_average: true }, 2, 3, [1, 1, 1]),
    of('OnlineContrastiveLoss', { distance, margin: 2.5 }, 2, 7, [1, 0, 0, 1, 0, 1, 1]),
  ]),
  of('OnlineContrastiveLoss', { distance: 'cosine', margin: 1.5 }, 2, 5, [0, 0, 1, 0, 0]),
  of('OnlineContrastiveLoss', { distance: 'cosine', margin: 1.5 }, 2, 5, [1, 1, 0, 1, 1]),
  ...['MultipleNegativesRankingLoss', 'MultipleNegativesSymmetricRankingLoss'].flatMap((loss) => [
    of(loss, { scale: 1, similarity: 'dot' }, 2, 5),
    of(loss, { scale: 30, similarity: 'cosine' }, 4, 3),
    of(loss, { scale: 20, similarity: 'cosine' }, 2, 7),
    of(loss, { scale: 20, similarity: 'cosine' }, 3, 1),
  ]),
  ...['cosine', 'dot', 'euclidean', 'manhattan'].flatMap((similarity) => [
    of('CoSENTLoss', { scale: 5, similarity }, 2, 5, scores),
    of('MarginMSELoss', { similarity }, 3, 3, [0.2, -1, 2]),
  ]),
  of('MarginMSELoss', { similarity: 'dot' }, 4, 2, [
    [0.5, -0.5],
    [1, 2],
  ]),
  of('MarginMSELoss', { similarity: 'dot' }, 4, 2, [
    [3, 0.5, -0.5],
    [1, 1, 2],
  ]),
  of('AnglELoss', { scale: 20 }, 2, 5, scores),
  of('AnglELoss', { scale: 3 }, 2, 2, [0, 1]),
  of('MSELoss', {}, 1, 3, vectors(3)),
  of('MSELoss', {}, 2, 3, vectors(3)),
  ...['cosine', 'euclidean'].flatMap((distance) =>
    ['BatchHardTripletLoss', 'BatchAllTripletLoss'].flatMap((loss) => [
      of(loss, { distance, margin: 0.4 }, 1, 7, [0, 0, 1, 1, 1, 2, 0]),
      of(loss, { distance, margin: 5 }, 1, 4, [3, 3, 8, 8]),
    ]),
  ),
  of('MatryoshkaLoss', matryoshka('CoSENTLoss', { scale: 20, similarity: 'cosine' }), 2, 5, scores),
  of('MatryoshkaLoss', matryoshka('MultipleNegativesRankingLoss', { scale: 20, similarity: 'cosine' }, [1, 2]), 3, 4),
  of('MatryoshkaLoss', matryoshka('AnglELoss', { scale: 20 }), 2, 5, scores),
  of('MatryoshkaLoss', matryoshka('TripletLoss', { distance: 'euclidean', margin: 1 }), 3, 5),
  of('MatryoshkaLoss', matryoshka('BatchAllTripletLoss', { distance: 'cosine', margin: 1 }), 1, 4, [0, 0, 1, 1]),
  of('MatryoshkaLoss', matryoshka('MSELoss', {}), 1, 3, vectors(3)),
];

/** Computes numeric gradients of the reference loss with central differences. */
function differences({ loss, parameters, columns, labels }: LossCase): number[][] {
  const step = 1e-5;
  return columns.map((matrix, c) =>
    matrix.flatMap((row, r) =>
      row.map((_, k) => {
        const at = (shift: number) => {
          const moved = columns.map((each) => each.map((values) => [...values]));
          moved[c]![r]![k]! += shift;
          return references[loss]!(moved, labels, parameters);
        };
        return (at(step) - at(-step)) / (2 * step);
      }),
    ),
  );
}

/**
 * Returns the largest absolute difference between entries, divided by the largest expected absolute value, or by 1 if
 * all are smaller.
 */
function worst(actual: ArrayLike<number>, expected: readonly number[]): number {
  if (actual.length !== expected.length) return Infinity;
  const largest = Math.max(1e-2, ...expected.map(Math.abs));
  return Math.max(...expected.map((entry, i) => Math.abs(entry - actual[i]!))) / largest;
}

const flat = (values: readonly (number | readonly number[])[]) => Float32Array.from(values.flat());
const labelShapeOf = ({ labels }: LossCase) => [labels.length, ...(Array.isArray(labels[0]) ? [labels[0].length] : [])];
const withLabels = ({ loss, parameters }: LossCase) => lossFromName(loss, parameters).labels !== 'none';

function plain(one: LossCase) {
  const loss = lossFromName(one.loss, one.parameters);
  const labels = withLabels(one) ? plainTensor(flat(one.labels), labelShapeOf(one)) : undefined;
  const columns = one.columns.map((matrix) => plainTensor(flat(matrix), [matrix.length, width]));
  const { value, gradients: found } = gradients(
    plainOperations,
    (ops, tracked, fixed) => loss.compute(ops, tracked, labels && fixed(labels)),
    columns,
  );
  return { value: value.data, gradients: found.map(({ data }) => data) };
}

async function recorded(one: LossCase) {
  const loss = lossFromName(one.loss, one.parameters);
  const recorder = new OnnxRecorder();
  const columns = one.columns.map((_, i) => recorder.input(`column ${i}`, 'float', ['examples', width]));
  const labels = withLabels(one)
    ? recorder.input('labels', 'float', ['examples', ...labelShapeOf(one).slice(1)])
    : undefined;
  const graph = gradients(
    recorder.operations,
    (ops, tracked, fixed) => loss.compute(ops, tracked, labels && fixed(labels)),
    columns,
  );
  recorder.output('loss', graph.value);
  for (const [i, gradient] of graph.gradients.entries()) recorder.output(`gradient ${i}`, gradient);
  const session = await InferenceSession.create(recorder.encode());
  const feeds: Record<string, Tensor> = {};
  for (const [i, matrix] of one.columns.entries())
    feeds[`column ${i}`] = new Tensor('float32', flat(matrix), [matrix.length, width]);
  if (labels) feeds['labels'] = new Tensor('float32', flat(one.labels), labelShapeOf(one));
  const results = await session.run(feeds);
  await session.release();
  const numbers = (name: string) => results[name]!.data as Float32Array;
  return { value: numbers('loss'), gradients: one.columns.map((_, i) => numbers(`gradient ${i}`)) };
}

test('every loss is covered by these cases or by golden values', () => {
  // Losses over layers are covered by golden steps of a whole model.
  const overLayers = ['AdaptiveLayerLoss', 'Matryoshka2dLoss'];
  const known = [...cases.map(({ loss }) => loss), ...goldenLosses.map(([, { loss }]) => loss), ...overLayers];
  expect(new Set(known)).toEqual(new Set([...lossNames('embedder'), ...lossNames('sparse')]));
});

test.each([
  ['one vector for both columns', 1],
  ['a vector for each column', 2],
])('a Matryoshka loss truncates the vectors of a teacher like the embeddings: %s', (_, targets) => {
  const first = column(3);
  const columns = targets === 1 ? [first, first] : [first, column(3)];
  const labels = first.map((row, index) => (targets === 1 ? row : [...row, ...columns[1]![index]!]));
  const inner = { loss: 'EmbedDistillLoss', loss_params: { distance: 'mse' } };
  const parameters = { ...inner, dims: [6, 4], weights: [1, 0.5] };
  // The student equals the teacher, so the loss is 0.
  const { value } = plain({ loss: 'MatryoshkaLoss', parameters, columns, labels });
  expect(value[0]).toBeLessThan(1e-12);
});

describe.each([
  ['plain', async (one: LossCase) => plain(one)],
  ['onnxruntime', recorded],
])('losses with other shapes and parameters: %s', (_, run) => {
  test.each(
    cases.map(
      (one) =>
        [
          `${one.loss} ${JSON.stringify(one.parameters)} × ${one.columns.length} of ${one.columns[0]!.length}`,
          one,
        ] as const,
    ),
  )('%s', async (__, one) => {
    const result = await run(one);
    expect(worst(result.value, [references[one.loss]!(one.columns, one.labels, one.parameters)])).toBeLessThan(1e-4);
    for (const [i, expected] of differences(one).entries())
      expect(worst(result.gradients[i]!, expected)).toBeLessThan(1e-4);
  });

  test.each(cases.map((one) => [`${one.loss} ${JSON.stringify(one.parameters)}`, one] as const))(
    '%s: all values and gradients are finite for equal rows',
    async (__, one) => {
      const same = { ...one, columns: one.columns.map((matrix) => matrix.map(() => [1, 2, 0, -1, 0.5, 0])) };
      const result = await run(same);
      const all = [...result.value, ...result.gradients.flatMap((gradient) => [...gradient])];
      expect(all.filter((entry) => !Number.isFinite(entry))).toEqual([]);
    },
  );
});

// Without the check, each of these would silently train with the default distance.
test.each<[string, (options: object) => unknown, object, string]>([
  ['tripletLoss', tripletLoss, { distance: 'cos' }, '"distance" must be one of cosine, euclidean, manhattan'],
  ['batchHardTripletLoss', batchHardTripletLoss, { distance: 'manhattan' }, '"distance" must be one of cosine'],
  ['contrastiveLoss', contrastiveLoss, { distance: 'dot' }, '"distance"'],
  ['onlineContrastiveLoss', onlineContrastiveLoss, { distance: 'dot' }, '"distance"'],
  ['cosentLoss', cosentLoss, { similarity: 'Cosine' }, '"similarity"'],
  ['marginMseLoss', marginMseLoss, { similarity: 'cos' }, '"similarity"'],
  ['distillKlDivLoss', distillKlDivLoss, { similarity: 'cos' }, '"similarity"'],
  ['embedDistillLoss', embedDistillLoss, { distance: 'euclidean' }, '"distance" must be one of cosine, mse, l2'],
  ['multipleNegativesRankingLoss', multipleNegativesRankingLoss, { similarity: 'cos' }, '"similarity"'],
  ['multipleNegativesRankingLoss', multipleNegativesRankingLoss, { partition: 'separate' }, '"partition_mode"'],
  ['multipleNegativesSymmetricRankingLoss', multipleNegativesSymmetricRankingLoss, { similarity: 'cos' }, 'similarity'],
  ['gistEmbedLoss', gistEmbedLoss, { marginStrategy: 'percent' }, '"margin_strategy"'],
  ['globalOrthogonalRegularizationLoss', globalOrthogonalRegularizationLoss, { similarity: 'l2' }, '"similarity"'],
  ['globalOrthogonalRegularizationLoss', globalOrthogonalRegularizationLoss, { aggregation: 'max' }, '"aggregation"'],
])('%s refuses an unknown choice: %#', (_, make, options, message) => {
  const refusal = { code: 'invalid-argument', message: expect.stringContaining(message) as string };
  expect(() => make(options)).toThrow(expect.objectContaining(refusal));
});
