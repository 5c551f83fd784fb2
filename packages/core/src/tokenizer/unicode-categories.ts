/**
 * General categories and scripts of characters as the Rust tokenizers see them: the tables of category-tables.ts, decoded
 * when they are first used. Patterns and a few pre-tokenizers need them. BERT's tokenizer has neither, so pages load
 * the tables only for tokenizers that need them.
 */
import * as tables from './category-tables.ts';

/** The general categories in the order of the table: the number of a category is its index here. */
const categoryNames = 'Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co'.split(
  ' ',
);
const categoryLetters = 'abcdefghijklmnopqrstuvwxyz!#$';

let categoryOf: Uint8Array | undefined;
let scriptNumberOf: Uint8Array | undefined;

/** The general category of a code point in Unicode 16, as its bit: 1 << its index among the categories. */
export function categoryBit(code: number): number {
  categoryOf ??= decodeRuns(tables.generalCategories, /([0-9A-Z]*)([^0-9A-Z])/gu, (name) =>
    categoryLetters.indexOf(name),
  );
  return 1 << categoryOf[code]!;
}

/** The bits of the general categories with a name: `Lu`, or `L` for all letters. 0 when there is no such name. */
export function categoryBits(name: string): number {
  let bits = 0;
  for (const [index, category] of categoryNames.entries()) if (category.startsWith(name)) bits |= 1 << index;
  return bits;
}

/** The script of a code point as UnicodeScripts sees it; 0 goes with every script. */
export function scriptOf(code: number): number {
  scriptNumberOf ??= decodeRuns(
    tables.scripts,
    /([0-9A-Z]*)([a-z]{2})/gu,
    (name) => (name.charCodeAt(0) - 97) * 26 + name.charCodeAt(1) - 97,
  );
  return scriptNumberOf[code]!;
}

function decodeRuns(table: string, run: RegExp, valueOf: (name: string) => number): Uint8Array {
  const values = new Uint8Array(0x110000);
  let start = 0;
  for (const [, length, name] of table.matchAll(run)) {
    const end = start + (length === '' ? 1 : Number.parseInt(length!, 36));
    values.fill(valueOf(name!), start, end);
    start = end;
  }
  return values;
}

/** Names of a property in a pattern as they are compared: without case, spaces, `-` and `_`. */
export function looseName(name: string): string {
  return name.replaceAll(/[\s_-]/gu, '').toLowerCase();
}
