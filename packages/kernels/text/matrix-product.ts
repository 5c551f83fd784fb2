import {
  bytes,
  each,
  exported,
  get,
  i32,
  loopWhileBelow,
  minus,
  of,
  plus,
  set,
  smaller,
  sumOfLanes,
  times,
  wholeVectors,
  zeros,
} from './words.ts';

/**
 * A tile is 2 rows of the left matrix × 4 of the right: 6 vectors loaded give 8 products, and all sums stay in
 * registers.
 */
const left = [0, 1];
const right = [0, 1, 2, 3];

/**
 * Rows of the left matrix that are multiplied with all of the right before the next: they stay in the second-level
 * cache.
 */
const rowsOfBlock = 64;

/** `sum + x · y` of vectors: rounded once with relaxed SIMD (where the CPU has it), else twice. */
export type MultiplyAdd = (x: string, y: string, sum: string) => string;

const eachPair = (write: (row: number, col: number) => string): string =>
  each(left, (row) => each(right, (col) => write(row, col)));

/**
 * Beyond the end of a matrix its last row is taken again: it is computed and written twice, which needs no second kind
 * of tile.
 */
const clamped = (index: string, offset: number, count: string): string =>
  smaller(plus(get(index), i32(offset)), minus(get(count), i32(1)));

const vectorStep = (multiplyAdd: MultiplyAdd): string => `
  ${each(right, (col) => set(`y${col}`, `(v128.load ${plus(get(`b${col}`), get('k'))})`))}
  ${each(left, (row) => set(`x${row}`, `(v128.load ${plus(get(`a${row}`), get('k'))})`))}
  ${eachPair((row, col) => set(`v${row}${col}`, multiplyAdd(get(`x${row}`), get(`y${col}`), get(`v${row}${col}`))))}`;

/** What is left of a row when its length is not a multiple of 4. */
const scalarStep = eachPair((row, col) => {
  const product = `(f32.mul (f32.load ${plus(get(`a${row}`), get('k'))}) (f32.load ${plus(get(`b${col}`), get('k'))}))`;
  return set(`s${row}${col}`, `(f32.add ${get(`s${row}${col}`)} ${product})`);
});

const tile = (multiplyAdd: MultiplyAdd): string => `
  ${each(left, (row) => {
    const index = `(local.tee $t ${clamped('row', row, 'rows')})`;
    return `${set(`a${row}`, plus(get('a'), times(index, get('innerBytes'))))}
      ${set(`c${row}`, plus(get('c'), times(get('t'), bytes(get('cols')))))}`;
  })}
  ${eachPair((row, col) => set(`v${row}${col}`, zeros))}
  ${set('k', i32(0))}
  ${loopWhileBelow('k', get('vectorBytes'), i32(16), vectorStep(multiplyAdd))}
  ${eachPair((row, col) => set(`s${row}${col}`, sumOfLanes(get(`v${row}${col}`))))}
  (if (i32.lt_u ${get('k')} ${get('innerBytes')}) (then ${loopWhileBelow('k', get('innerBytes'), i32(4), scalarStep)}))
  ${eachPair((row, col) => `(f32.store ${plus(get(`c${row}`), get(`o${col}`))} (f32.add ${get(`s${row}${col}`)} ${get(`bias${col}`)}))`)}`;

const columns = (multiplyAdd: MultiplyAdd): string => `
  ${each(right, (col) => {
    const index = `(local.tee $t ${clamped('col', col, 'cols')})`;
    return `${set(`b${col}`, plus(get('b'), times(index, get('innerBytes'))))}
      ${set(`o${col}`, bytes(get('t')))}
      (if ${get('bias')} (then ${set(`bias${col}`, `(f32.load ${plus(get('bias'), get(`o${col}`))})`)}))`;
  })}
  ${set('row', get('block'))}
  ${loopWhileBelow('row', get('blockEnd'), i32(left.length), tile(multiplyAdd))}`;

const names = (prefix: string, indices: readonly number[]): string[] => indices.map((index) => `${prefix}${index}`);
const pairs = (prefix: string): string[] => left.flatMap((row) => right.map((col) => `${prefix}${row}${col}`));

/**
 * c = a · bᵀ + bias. `a` is [rows, inner], `b` is [cols, inner], `c` is [rows, cols], `bias` is [cols]; all are
 * addresses, 0 for no bias. A row's result does not depend on the other rows, to the last bit.
 */
export const matrixProduct = (multiplyAdd: MultiplyAdd): string =>
  exported(
    'matrixProduct',
    of('i32', 'a', 'b', 'c', 'bias', 'rows', 'cols', 'inner'),
    [
      ...of('i32', 'innerBytes', 'vectorBytes', 'block', 'blockEnd', 'row', 'col', 'k', 't'),
      ...of('i32', ...names('a', left), ...names('c', left), ...names('b', right), ...names('o', right)),
      ...of('v128', ...names('x', left), ...names('y', right), ...pairs('v')),
      ...of('f32', ...pairs('s'), ...names('bias', right)),
    ],
    `${set('innerBytes', bytes(get('inner')))}
    ${set('vectorBytes', wholeVectors(get('innerBytes')))}
    ${loopWhileBelow(
      'block',
      get('rows'),
      i32(rowsOfBlock),
      `${set('blockEnd', smaller(plus(get('block'), i32(rowsOfBlock)), get('rows')))}
      ${set('col', i32(0))}
      ${loopWhileBelow('col', get('cols'), i32(right.length), columns(multiplyAdd))}`,
    )}`,
  );
