/**
 * The source of `src/score-kernels-binary.ts`: WebAssembly text of the functions that score vectors against queries.
 * They differ in how a vector is read and what two entries contribute; the loops around that are written here once. A
 * tile is 4 queries × 2 rows, so that 16 numbers loaded give 32 products and all sums stay in registers.
 *
 * Every function has the signature (queries, rows, scores, stride, queryCount, rowCount): three addresses; the bytes
 * from one vector to the next, a multiple of the function's step; counts that are multiples of the tile. Scores are 4
 * bytes each, a row of them for each query.
 */
const queryTile = [0, 1, 2, 3];
const rowTile = [0, 1];

interface Kernel {
  readonly name: string;
  /** Reads `step` bytes of a vector. */
  readonly load: string;
  readonly step: number;
  /** What the registers $x (of a query) and $y (of a row) add to the sum. */
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
    term: (x, y) => `(f32x4.mul (local.tee $d ${difference(x, y)}) (local.get $d))`,
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

const get = (local: string): string => `(local.get ${local})`;
const set = (local: string, value: string): string => `(local.set ${local} ${value})`;
const sum = (query: number, row: number): string => `$sum${query}${row}`;
const each = <T>(items: readonly T[], write: (item: T) => string): string => items.map(write).join('\n');
const eachPair = (write: (query: number, row: number) => string): string =>
  each(queryTile, (q) => each(rowTile, (r) => write(q, r)));

/** The registers `$q0…` or `$r0…` point at consecutive vectors from `first` on. */
function pointAt(prefix: string, count: number, first: string): string {
  const rest = Array.from({ length: count - 1 }, (_, i) =>
    set(`${prefix}${i + 1}`, `(i32.add ${get(`${prefix}${i}`)} ${get('$stride')})`),
  );
  return [set(`${prefix}0`, get(first)), ...rest].join('\n');
}

function addLanes({ lane }: Kernel, local: string): string {
  const part = (i: number): string => `(${lane}x4.extract_lane ${i} ${get(local)})`;
  return `(${lane}.add (${lane}.add ${part(0)} ${part(1)}) (${lane}.add ${part(2)} ${part(3)}))`;
}

function advance(local: string, bytes: string): string {
  return set(local, `(i32.add ${get(local)} ${bytes})`);
}

function functionText(kernel: Kernel): string {
  return `
(func (export "${kernel.name}") (param $queries i32) (param $rows i32) (param $scores i32) (param $stride i32)
      (param $queryCount i32) (param $rowCount i32)
  (local $queriesEnd i32) (local $rowsEnd i32) (local $row i32) (local $rowEnd i32) (local $score i32) (local $scoreStride i32) (local $d v128)
  ${each(queryTile, (q) => `(local $q${q} i32) (local $x${q} v128)`)}
  ${each(rowTile, (r) => `(local $r${r} i32) (local $y${r} v128)`)}
  ${eachPair((q, r) => `(local ${sum(q, r)} v128)`)}
  ${set('$scoreStride', `(i32.mul ${get('$rowCount')} (i32.const 4))`)}
  ${set('$queriesEnd', `(i32.add ${get('$queries')} (i32.mul ${get('$queryCount')} ${get('$stride')}))`)}
  ${set('$rowsEnd', `(i32.add ${get('$rows')} (i32.mul ${get('$rowCount')} ${get('$stride')}))`)}
  (loop $nextQueries
    ${set('$row', get('$rows'))}
    (loop $nextRows
      ${pointAt('$q', queryTile.length, '$queries')}
      ${pointAt('$r', rowTile.length, '$row')}
      ${set('$rowEnd', `(i32.add ${get('$row')} ${get('$stride')})`)}
      ${eachPair((q, r) => set(sum(q, r), '(v128.const i32x4 0 0 0 0)'))}
      (loop $nextEntries
        ${each(rowTile, (r) => set(`$y${r}`, `(${kernel.load} ${get(`$r${r}`)})`))}
        ${each(queryTile, (q) => set(`$x${q}`, `(${kernel.load} ${get(`$q${q}`)})`))}
        ${eachPair((q, r) => set(sum(q, r), `(${kernel.lane}x4.add ${get(sum(q, r))} ${kernel.term(get(`$x${q}`), get(`$y${r}`))})`))}
        ${each(queryTile, (q) => advance(`$q${q}`, `(i32.const ${kernel.step})`))}
        ${each(rowTile, (r) => advance(`$r${r}`, `(i32.const ${kernel.step})`))}
        (br_if $nextEntries (i32.lt_u ${get('$r0')} ${get('$rowEnd')})))
      ${set('$score', get('$scores'))}
      ${each(
        queryTile,
        (
          q,
        ) => `${each(rowTile, (r) => `(${kernel.lane}.store offset=${r * 4} ${get('$score')} ${addLanes(kernel, sum(q, r))})`)}
        ${advance('$score', get('$scoreStride'))}`,
      )}
      ${advance('$scores', `(i32.const ${rowTile.length * 4})`)}
      ${advance('$row', `(i32.mul ${get('$stride')} (i32.const ${rowTile.length}))`)}
      (br_if $nextRows (i32.lt_u ${get('$row')} ${get('$rowsEnd')})))
    ${advance('$scores', `(i32.mul ${get('$scoreStride')} (i32.const ${queryTile.length - 1}))`)}
    ${advance('$queries', `(i32.mul ${get('$stride')} (i32.const ${queryTile.length}))`)}
    (br_if $nextQueries (i32.lt_u ${get('$queries')} ${get('$queriesEnd')}))))`;
}

/** The module in WebAssembly text. Its memory is the import `memory` of the module `sentvec`. */
export const scoreKernelsText: string = `(module (import "sentvec" "memory" (memory 1)) ${each(kernels, functionText)})`;
