import * as tables from './unicode-tables.ts';

/** Whitespace in the sense of Unicode and Rust; `\s` of JavaScript has U+FEFF besides, and lacks U+0085. */
export const whitespace = '\\p{White_Space}';

/** Each class as the inside of a character class of a regular expression with the `u` flag. */
export const controlCharacters: string = characterClass(tables.controlCharacters);
export const chineseCharacters: string = characterClass(tables.chineseCharacters);
export const nonspacingMarks: string = characterClass(tables.nonspacingMarks);
export const marks: string = characterClass(tables.marks);
export const punctuation: string = characterClass(tables.punctuation);
export const newerWordCharacters: string = characterClass(tables.newerWordCharacters);
export const inertInNormalization: string = characterClass(tables.inertInNormalization);

function characterClass(table: string): string {
  const distances = table.split(' ').map((distance) => Number.parseInt(distance, 36));
  const bounds: string[] = [];
  let position = 0;
  for (const distance of distances) bounds.push(`\\u{${(position += distance).toString(16)}}`);
  return bounds.map((bound, index) => (index % 2 === 0 ? bound : `-${bound}`)).join('');
}
