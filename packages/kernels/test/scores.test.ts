import { expect, it } from 'vitest';
import { portableScores, type ScoreRuntime, type Scoring, webAssemblyScores } from '@sentvec/kernels';
import { generator, randomNumbers } from './random.ts';

/** Entries of a vector: 16 bytes, and more than one step of the loops. */
const lengths = { short: 16, long: 384 };

const scorings: readonly Scoring[] = [
  'dot',
  'squared-distance',
  'absolute-distance',
  'dot-int8',
  'dot-uint8',
  'hamming',
];

function vectors(scoring: Scoring, count: number, seed: number): Float32Array | Int8Array | Uint8Array {
  const next = generator(seed);
  const bytes = (): Uint8Array => Uint8Array.from({ length: count }, () => next() * 256);
  if (scoring === 'dot-int8') return new Int8Array(bytes().buffer);
  return scoring === 'dot-uint8' || scoring === 'hamming' ? bytes() : randomNumbers(count, seed);
}

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

const [queries, rows] = [8, 6];

function scoreAll(runtime: ScoreRuntime, scoring: Scoring, length: number): number[] {
  const [x, y] = [vectors(scoring, queries * length, 1), vectors(scoring, rows * length, 2)];
  const scores = x.byteLength + y.byteLength;
  const { buffer, functions } = runtime(scores + queries * rows * 4);
  for (const [address, { buffer: from }] of [
    [0, x],
    [x.byteLength, y],
  ] as const)
    new Uint8Array(buffer).set(new Uint8Array(from), address);
  functions[scoring](0, x.byteLength, scores, x.byteLength / queries, queries, rows);
  const Values = scoring === 'hamming' || scoring.startsWith('dot-') ? Int32Array : Float32Array;
  return [...new Values(buffer, scores, queries * rows)];
}

const cases = Object.values(lengths).flatMap((length) => scorings.map((scoring) => ({ length, scoring })));

it.each(cases)('$scoring of $length entries: the same bits in WebAssembly and in TypeScript', ({ length, scoring }) => {
  const fast = scoreAll(webAssemblyScores()!, scoring, length);
  expect(fast).toEqual(scoreAll(portableScores, scoring, length));
  const [x, y] = [vectors(scoring, queries * length, 1), vectors(scoring, rows * length, 2)];
  for (const [pair, score] of fast.entries()) {
    const [i, j] = [Math.floor(pair / rows), pair % rows];
    let expected = 0;
    for (let k = 0; k < length; k++) expected += term(scoring, x[i * length + k]!, y[j * length + k]!);
    expect(Math.abs(score - expected)).toBeLessThan(1e-4);
  }
});
