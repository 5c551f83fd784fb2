/**
 * General categories and scripts of characters, as in the Rust tokenizers: decodes the tables of category-tables.ts at
 * their first use. This file is imported dynamically, so that web pages load the tables only for tokenizers that need
 * them (patterns and a few pre-tokenizers).
 */
import * as tables from './category-tables.ts';

/** The general categories; the number of a category in the table is its index here. */
const categoryNames = 'Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co'.split(
  ' ',
);
const categoryLetters = 'abcdefghijklmnopqrstuvwxyz!#$';

let categoryOf: Uint8Array | undefined;
let scriptNumberOf: Uint8Array | undefined;

/** The general category of a code point in Unicode 16, as a bit: `1 << index`. */
export function categoryBit(code: number): number {
  categoryOf ??= decodeRuns(tables.generalCategories, /([0-9A-Z]*)([^0-9A-Z])/gu, (name) =>
    categoryLetters.indexOf(name),
  );
  return 1 << categoryOf[code]!;
}

/**
 * The bits of all general categories whose names begin with `name`: `Lu`, or `L` for all letters. 0 when there is none.
 */
export function categoryBits(name: string): number {
  let bits = 0;
  for (const [index, category] of categoryNames.entries()) if (category.startsWith(name)) bits |= 1 << index;
  return bits;
}

/** The number of a code point's script in the pre-tokenizer UnicodeScripts; 0 is compatible with every script. */
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

/** Normalizes the name of a property for comparisons: ignores case, spaces, `-` and `_`. */
export function looseName(name: string): string {
  return name.replaceAll(/[\s_-]/gu, '').toLowerCase();
}
