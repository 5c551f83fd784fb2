import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fitLinearProbe, kMeans, Random } from '@sentvec/training';

/** Results of `LogisticRegression(tol=1e-10)` of scikit-learn 1.9 with C = 1, for vectors of several classes. */
interface ReferenceFit {
  readonly classes: number;
  readonly vectors: readonly (readonly number[])[];
  readonly labels: readonly number[];
  /** One row per class. For two classes there is one row: that of the second class minus that of the first. */
  readonly coef: readonly (readonly number[])[];
  readonly intercept: readonly number[];
  readonly predicted: readonly number[];
}

const fits = JSON.parse(readFileSync(new URL('linear-probe.json', import.meta.url), 'utf8')) as ReferenceFit[];

const matrix = (rows: readonly (readonly number[])[]) => ({
  data: Float32Array.from(rows.flat()),
  rows: rows.length,
  cols: rows[0]!.length,
});

test.each(fits.map((fit) => [fit.classes, fit] as const))(
  'the classifier of scikit-learn, %d classes',
  async (_, fit) => {
    const vectors = matrix(fit.vectors);
    const probe = await fitLinearProbe(vectors, fit.labels, fit.classes, { tolerance: 1e-6 });
    expect(await probe.predict(vectors)).toEqual(fit.predicted);
    const { data, cols } = probe.weights;
    const row = (index: number) => [...data.subarray(index * cols, (index + 1) * cols)];
    const isBinary = fit.classes === 2;
    const weights = isBinary ? [row(1).map((entry, i) => entry - row(0)[i]!)] : fit.coef.map((__, index) => row(index));
    const bias = isBinary ? [probe.bias[1]! - probe.bias[0]!] : [...probe.bias];
    for (const [index, expected] of fit.coef.entries())
      for (const [i, entry] of expected.entries()) expect(weights[index]![i]).toBeCloseTo(entry, 3);
    // The biases are determined only up to a common constant.
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [shift, expectedShift] = isBinary ? [0, 0] : [mean(bias), mean(fit.intercept)];
    for (const [index, expected] of fit.intercept.entries())
      expect(bias[index]! - shift).toBeCloseTo(expected - expectedShift, 3);
  },
);

/** Returns vectors around centres, and the index of the centre of each. */
function clouds(rows: number, cols: number, count: number) {
  const random = new Random(7);
  const centres = Array.from({ length: count }, () => Array.from({ length: cols }, () => random.normal()));
  const classes = Array.from({ length: rows }, (_, row) => row % count);
  const data = Float32Array.from(classes.flatMap((own) => centres[own]!.map((entry) => entry + random.normal())));
  return { vectors: { data, rows, cols }, classes };
}

/** Counts the turns of the event loop during a computation. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  await work;
  isDone = true;
  return turns;
}

test('fitting and clustering thousands of vectors do not block the event loop, with any block size', async () => {
  const { vectors, classes } = clouds(12_000, 256, 20);
  let probe: Awaited<ReturnType<typeof fitLinearProbe>> | undefined;
  const fitting = fitLinearProbe(vectors, classes, 20).then((found) => (probe = found));
  expect(await turnsDuring(fitting)).toBeGreaterThan(10);
  expect(await probe!.predict(vectors)).toEqual(classes);
  let clusters: readonly number[] = [];
  const clustering = kMeans(vectors, 20, { restarts: 2 }).then((found) => (clusters = found));
  expect(await turnsDuring(clustering)).toBeGreaterThan(10);
  const pairs = new Set(classes.map((own, row) => `${own} ${clusters[row]}`));
  // K-means separates clusters at this distance, or merges two of them.
  expect(pairs.size).toBeLessThan(24);
});

test('both stop when they are aborted', async () => {
  const { vectors, classes } = clouds(2000, 64, 10);
  const signal = AbortSignal.abort();
  await expect(fitLinearProbe(vectors, classes, 10, { signal })).rejects.toMatchObject({ code: 'aborted' });
  await expect(kMeans(vectors, 10, { signal })).rejects.toMatchObject({ code: 'aborted' });
});
