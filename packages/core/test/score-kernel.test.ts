import { describe, expect, it } from 'vitest';
import { portableScores, type ScoreRuntime, type Scoring, webAssemblyScores } from '@sentvec/kernels';
import { ScoreKernel } from '../src/search/score-kernel.ts';
import { randomBytes, randomMatrix } from './random-vectors.ts';

const webAssembly = webAssemblyScores()!;

describe('score kernels', () => {
  const shapes = [
    { queries: 1, rows: 1, entries: 1 },
    { queries: 3, rows: 5, entries: 7 },
    { queries: 4, rows: 2, entries: 16 },
    { queries: 9, rows: 31, entries: 384 },
  ];

  const scorings: readonly Scoring[] = [
    'dot',
    'squared-distance',
    'absolute-distance',
    'dot-int8',
    'dot-uint8',
    'hamming',
  ];
  const cases = shapes.flatMap((shape) => scorings.map((scoring) => ({ ...shape, scoring })));

  it.each(cases)(
    '$scoring: WebAssembly and TypeScript give the same bits for $queries queries × $rows rows of $entries entries',
    ({ queries, rows, entries, scoring }) => {
      const [x, y] = [entriesFor(scoring, queries * entries, 1), entriesFor(scoring, rows * entries, 2)];
      const [fast, portable] = [webAssembly, portableScores].map((runtime) =>
        scoreAll(runtime, scoring, x, y, entries),
      );
      expect(fast).toEqual(portable);
      const reference = Array.from({ length: queries * rows }, (_, pair) => {
        const [i, j] = [Math.floor(pair / rows), pair % rows];
        return Array.from({ length: entries }, (__, k) =>
          term(scoring, x[i * entries + k]!, y[j * entries + k]!),
        ).reduce((a, b) => a + b);
      });
      expect(Math.max(...reference.map((score, pair) => Math.abs(score - fast![pair]!)))).toBeLessThan(1e-4);
    },
  );

  it('compute the squared lengths of rows', () => {
    const rows = randomMatrix(7, 13, 5);
    const kernel = new ScoreKernel(13 * 4, 1, 7, webAssembly);
    kernel.loadRows({ bytes: new Uint8Array(rows.data.buffer), bytesPerVector: 13 * 4 }, 0, 7);
    const lengths = kernel.squaredLengths();
    for (let row = 0; row < 7; row++) {
      const squares = rows.data.subarray(row * 13, (row + 1) * 13).map((entry) => entry * entry);
      expect(lengths[row]).toBeCloseTo(
        squares.reduce((sum, square) => sum + square),
        5,
      );
    }
  });
});

function term(scoring: Scoring, x: number, y: number): number {
  switch (scoring) {
    case 'squared-distance':
      return (x - y) ** 2;
    case 'absolute-distance':
      return Math.abs(x - y);
    case 'hamming':
      return (x ^ y).toString(2).replaceAll('0', '').length;
    default:
      return x * y;
  }
}

function entriesFor(scoring: Scoring, length: number, seed: number): Float32Array | Int8Array | Uint8Array {
  if (scoring === 'dot-int8') return new Int8Array(randomBytes(length, seed).buffer);
  return scoring === 'dot-uint8' || scoring === 'hamming'
    ? randomBytes(length, seed)
    : randomMatrix(1, length, seed).data;
}

function scoreAll(
  runtime: ScoreRuntime,
  scoring: Scoring,
  x: Float32Array | Int8Array | Uint8Array,
  y: Float32Array | Int8Array | Uint8Array,
  entries: number,
): number[] {
  const [queries, rows] = [x.length / entries, y.length / entries];
  const bytesPerVector = entries * x.BYTES_PER_ELEMENT;
  const kernel = new ScoreKernel(bytesPerVector, queries, rows, runtime);
  kernel.loadQueries({ bytes: new Uint8Array(x.buffer), bytesPerVector }, 0, queries);
  kernel.loadRows({ bytes: new Uint8Array(y.buffer), bytesPerVector }, 0, rows);
  const { values, stride } = kernel.score(scoring);
  return Array.from({ length: queries }, (_, query) => [
    ...values.subarray(query * stride, query * stride + rows),
  ]).flat();
}
