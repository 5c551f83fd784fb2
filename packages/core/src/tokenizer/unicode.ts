/**
 * Properties of characters as in the Rust tokenizers, independent of the Unicode version of the JavaScript engine:
 * decodes the tables of unicode-tables.ts.
 */
import * as tables from './unicode-tables.ts';

/** White space as defined by Unicode and Rust; `\s` of JavaScript additionally has U+FEFF, and lacks U+0085. */
export const whitespace: string = '\\p{White_Space}';

/** Whether a code point is white space, as defined by Unicode. */
export function isSpace(code: number): boolean {
  if (code < 0x1680) return (code >= 9 && code <= 13) || code === 32 || code === 0x85 || code === 0xa0;
  if (code >= 0x2000 && code <= 0x205f)
    return code <= 0x200a || code === 0x2028 || code === 0x2029 || code === 0x202f || code === 0x205f;
  return code === 0x1680 || code === 0x3000;
}

/** Each class as the content of brackets (`[…]`) in a regular expression with the `u` flag. */
export const controlCharacters: string = characterClass(tables.controlCharacters);
export const chineseCharacters: string = characterClass(tables.chineseCharacters);
export const nonspacingMarks: string = characterClass(tables.nonspacingMarks);
export const marks: string = characterClass(tables.marks);
export const punctuation: string = characterClass(tables.punctuation);
export const numerals: string = characterClass(tables.numerals);
export const inertInNormalization: string = characterClass(tables.inertInNormalization);

function characterClass(table: string): string {
  let position = 0;
  const bounds = table.split(' ').map((distance) => `\\u{${(position += Number.parseInt(distance, 36)).toString(16)}}`);
  return bounds.map((bound, index) => (index % 2 === 0 ? bound : `-${bound}`)).join('');
}
