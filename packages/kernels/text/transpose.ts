import { bytes, each, exported, get, i32, loopWhileBelow, of, plus, set, times, wholeFours } from './words.ts';

const four = [0, 1, 2, 3];

const shuffle = (a: string, b: string, lanes: readonly number[]): string => {
  const selected = lanes.flatMap((lane) => four.map((byte) => lane * 4 + byte));
  return `(i8x16.shuffle ${selected.join(' ')} ${get(a)} ${get(b)})`;
};

/** Four rows of four entries, as columns. */
const block = `
  ${set('source', plus(get('from'), bytes(plus(times(get('row'), get('cols')), get('col')))))}
  ${set('target', plus(get('to'), bytes(plus(times(get('col'), get('rows')), get('row')))))}
  ${each(four, (i) => set(`x${i}`, `(v128.load ${plus(get('source'), times(i32(i), bytes(get('cols'))))})`))}
  ${set('y0', shuffle('x0', 'x1', [0, 4, 1, 5]))}
  ${set('y1', shuffle('x0', 'x1', [2, 6, 3, 7]))}
  ${set('y2', shuffle('x2', 'x3', [0, 4, 1, 5]))}
  ${set('y3', shuffle('x2', 'x3', [2, 6, 3, 7]))}
  ${set('x0', shuffle('y0', 'y2', [0, 1, 4, 5]))}
  ${set('x1', shuffle('y0', 'y2', [2, 3, 6, 7]))}
  ${set('x2', shuffle('y1', 'y3', [0, 1, 4, 5]))}
  ${set('x3', shuffle('y1', 'y3', [2, 3, 6, 7]))}
  ${each(four, (i) => `(v128.store ${plus(get('target'), times(i32(i), bytes(get('rows'))))} ${get(`x${i}`)})`)}`;

const entry = (row: string, col: string): string => `
  (f32.store ${plus(get('to'), bytes(plus(times(get(col), get('rows')), get(row))))}
    (f32.load ${plus(get('from'), bytes(plus(times(get(row), get('cols')), get(col))))}))`;

/**
 * Writes the matrix [rows, cols] at `from` as [cols, rows] to `to`: in blocks of 4 × 4, then the columns and the rows
 * that are left.
 */
export const transpose: string = exported(
  'transpose',
  of('i32', 'from', 'to', 'rows', 'cols'),
  [
    ...of('i32', 'row', 'col', 'restRow', 'restCol', 'source', 'target'),
    ...of('v128', ...four.map((i) => `x${i}`), ...four.map((i) => `y${i}`)),
  ],
  `${loopWhileBelow(
    'row',
    wholeFours(get('rows')),
    i32(4),
    `${set('col', i32(0))} ${loopWhileBelow('col', wholeFours(get('cols')), i32(4), block)}`,
  )}
  ${set('restRow', wholeFours(get('rows')))}
  ${loopWhileBelow(
    'restRow',
    get('rows'),
    i32(1),
    `${set('col', i32(0))} ${loopWhileBelow('col', get('cols'), i32(1), entry('restRow', 'col'))}`,
  )}
  ${set('restCol', wholeFours(get('cols')))}
  ${loopWhileBelow(
    'restCol',
    get('cols'),
    i32(1),
    `${set('row', i32(0))} ${loopWhileBelow('row', wholeFours(get('rows')), i32(1), entry('row', 'restCol'))}`,
  )}`,
);
