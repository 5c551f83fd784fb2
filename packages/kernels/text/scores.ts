// Scores of vectors against queries. The functions differ in how a vector is read and what two entries contribute; the
// loops around that are written once. A tile is 4 queries × 2 rows, so that 16 numbers loaded give 32 products and all
// sums stay in registers. `ScoreFunction` of `src/score-functions.ts` has the parameters.
import { each, exported, get, i32, increase, loopUntil, of, plus, set, sumOfLanes, times, zeros } from './words.ts';

const queryTile = [0, 1, 2, 3];
const rowTile = [0, 1];

interface Kernel {
  readonly name: string;
  /** Reads `step` bytes of a vector. */
  readonly load: string;
  readonly step: number;
  /** What vectors of a query and of a row add to the sum. */
  readonly term: (x: string, y: string) => string;
  /** Type of a lane of the sum, and of a score. */
  readonly lane: 'f32' | 'i32';
}

const difference = (x: string, y: string): string => `(f32x4.sub ${x} ${y})`;

const kernels: readonly Kernel[] = [
  { name: 'dot', load: 'v128.load', step: 16, lane: 'f32', term: (x, y) => `(f32x4.mul ${x} ${y})` },
  {
    name: 'squared-distance',
    load: 'v128.load',
    step: 16,
    lane: 'f32',
    term: (x, y) => `(f32x4.mul (local.tee $d ${difference(x, y)}) ${get('d')})`,
  },
  {
    name: 'absolute-distance',
    load: 'v128.load',
    step: 16,
    lane: 'f32',
    term: (x, y) => `(f32x4.abs ${difference(x, y)})`,
  },
  { name: 'dot-int8', load: 'v128.load8x8_s', step: 8, lane: 'i32', term: (x, y) => `(i32x4.dot_i16x8_s ${x} ${y})` },
  { name: 'dot-uint8', load: 'v128.load8x8_u', step: 8, lane: 'i32', term: (x, y) => `(i32x4.dot_i16x8_s ${x} ${y})` },
  {
    name: 'hamming',
    load: 'v128.load',
    step: 16,
    lane: 'i32',
    term: (x, y) =>
      `(i32x4.extadd_pairwise_i16x8_u (i16x8.extadd_pairwise_i8x16_u (i8x16.popcnt (v128.xor ${x} ${y}))))`,
  },
];

const sum = (query: number, row: number): string => `sum${query}${row}`;
const eachPair = (write: (query: number, row: number) => string): string =>
  each(queryTile, (q) => each(rowTile, (r) => write(q, r)));

/** Lets `q0…` or `r0…` point at consecutive vectors from `first` on. */
const pointAt = (prefix: string, tile: readonly number[], first: string): string =>
  each(tile, (i) => set(`${prefix}${i}`, i === 0 ? get(first) : plus(get(`${prefix}${i - 1}`), get('stride'))));

const entries = ({ load, step, lane, term }: Kernel): string => `
  ${each(rowTile, (r) => set(`y${r}`, `(${load} ${get(`r${r}`)})`))}
  ${each(queryTile, (q) => set(`x${q}`, `(${load} ${get(`q${q}`)})`))}
  ${eachPair((q, r) => set(sum(q, r), `(${lane}x4.add ${get(sum(q, r))} ${term(get(`x${q}`), get(`y${r}`))})`))}
  ${each(queryTile, (q) => increase(`q${q}`, i32(step)))}
  ${each(rowTile, (r) => increase(`r${r}`, i32(step)))}`;

const scoresOfQuery = ({ lane }: Kernel, q: number): string => `
  ${each(rowTile, (r) => `(${lane}.store offset=${r * 4} ${get('score')} ${sumOfLanes(get(sum(q, r)), lane)})`)}
  ${increase('score', get('scoreStride'))}`;

const rows = (kernel: Kernel): string => `
  ${pointAt('q', queryTile, 'queries')}
  ${pointAt('r', rowTile, 'row')}
  ${set('rowEnd', plus(get('row'), get('stride')))}
  ${eachPair((q, r) => set(sum(q, r), zeros))}
  ${loopUntil('r0', get('rowEnd'), entries(kernel))}
  ${set('score', get('scores'))}
  ${each(queryTile, (q) => scoresOfQuery(kernel, q))}
  ${increase('scores', i32(rowTile.length * 4))}
  ${increase('row', times(get('stride'), i32(rowTile.length)))}`;

const queries = (kernel: Kernel): string => `
  ${set('row', get('rows'))}
  ${loopUntil('row', get('rowsEnd'), rows(kernel))}
  ${increase('scores', times(get('scoreStride'), i32(queryTile.length - 1)))}
  ${increase('queries', times(get('stride'), i32(queryTile.length)))}`;

const scoreFunction = (kernel: Kernel): string =>
  exported(
    kernel.name,
    of('i32', 'queries', 'rows', 'scores', 'stride', 'queryCount', 'rowCount'),
    [
      ...of('i32', 'queriesEnd', 'rowsEnd', 'row', 'rowEnd', 'score', 'scoreStride'),
      ...of('v128', 'd'),
      ...queryTile.flatMap((q) => [...of('i32', `q${q}`), ...of('v128', `x${q}`)]),
      ...rowTile.flatMap((r) => [...of('i32', `r${r}`), ...of('v128', `y${r}`)]),
      ...queryTile.flatMap((q) => rowTile.flatMap((r) => of('v128', sum(q, r)))),
    ],
    `${set('scoreStride', times(get('rowCount'), i32(4)))}
    ${set('queriesEnd', plus(get('queries'), times(get('queryCount'), get('stride'))))}
    ${set('rowsEnd', plus(get('rows'), times(get('rowCount'), get('stride'))))}
    ${loopUntil('queries', get('queriesEnd'), queries(kernel))}`,
  );

/** A function for each `Scoring`. */
export const scores: string = each(kernels, scoreFunction);
