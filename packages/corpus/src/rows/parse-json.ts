/**
 * Parses JSON without loss: a number that JavaScript cannot represent exactly becomes a string of its digits, and a key
 * that occurs twice in an object is detected.
 */

/** Matches a text that may have such a number: 16 digits or more, or an exponent of three digits. */
const suspicious = /[\d.]{16}|\d[eE][+-]?\d{3}/;

/** Matches the strings and the numbers of JSON. Digits occur only in them. */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * Parses JSON. Numbers that a double cannot represent exactly become strings of their digits: integers beyond 2^53,
 * `1e400`, numbers with too many decimals.
 *
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (!suspicious.test(text)) return value;
  const quoted = text.replaceAll(tokens, (token) => (token.startsWith('"') || isExact(token) ? token : `"${token}"`));
  return quoted === text ? value : JSON.parse(quoted);
}

/** Matches the strings of JSON (keys with their colon) and the brackets of objects and lists. */
const structure = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}[\]]/g;

/**
 * Finds a key that occurs twice in an object, within the fields that are read. `JSON.parse` would silently keep only
 * the last one.
 * @param text JSON of the record
 */
export function repeatedKey(
  text: string,
  record: Readonly<Record<string, unknown>>,
  fields: readonly string[],
): string | undefined {
  if (!mayRepeat(text, record, fields)) return undefined;
  const open: Set<string>[] = [];
  let isRead = false;
  for (const [token, quoted, colon] of text.matchAll(structure)) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(quoted!) as string;
      const keys = open.at(-1)!;
      if (open.length === 1) isRead = fields.includes(key);
      if (isRead && keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

/** A fast check whether a record may have a repeated key, because nearly all records have none. */
function mayRepeat(text: string, record: Readonly<Record<string, unknown>>, fields: readonly string[]): boolean {
  if (text.includes('\\u') || text.includes('\\/')) return true; // A key may be written with an escape.
  return fields.some((field) => {
    const quoted = JSON.stringify(field);
    return typeof record[field] === 'object' || text.includes(quoted, text.indexOf(quoted) + 1);
  });
}

/** Converts decimal digits to a number if that is exact, else returns the digits. */
export function exactNumber(digits: string): number | string {
  return isExact(digits) ? Number(digits) : digits;
}

function isExact(digits: string): boolean {
  const number = Number(digits);
  if (/^-?\d+$/.test(digits)) return Number.isSafeInteger(number);
  return Number.isFinite(number) && canonicalDecimal(digits) === canonicalDecimal(String(number));
}

/** Normalizes a decimal number, so that equal numbers give equal strings. */
function canonicalDecimal(number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(number) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}
