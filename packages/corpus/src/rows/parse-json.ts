/**
 * Parses JSON without losing anything: a number that JavaScript cannot hold becomes the text of its digits, and a key that
 * stands twice in an object is found.
 */

/** Whether a text may hold such a number: 16 digits or more, or an exponent of three digits. */
const suspicious = /[\d.]{16}|\d[eE][+-]?\d{3}/;

/** The strings and the numbers of a text that is JSON: digits occur nowhere else. */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * The value of a JSON text. Numbers are numbers while those are exact, else strings of their digits: whole numbers
 * beyond 2^53, `1e400`, more decimals than a double has.
 *
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (!suspicious.test(text)) return value;
  const quoted = text.replaceAll(tokens, (token) => (token.startsWith('"') || isExact(token) ? token : `"${token}"`));
  return quoted === text ? value : JSON.parse(quoted);
}

/** The keys of a text that is JSON, its other strings, and where objects and lists begin and end. */
const structure = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}[\]]/g;

/**
 * A key that stands twice in an object, within the fields of a record that are read; `JSON.parse` would take the last one
 * and lose the others.
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

/** Whether a closer look is worth its time: rows are many, and hardly one has a key twice. */
function mayRepeat(text: string, record: Readonly<Record<string, unknown>>, fields: readonly string[]): boolean {
  if (text.includes('\\u') || text.includes('\\/')) return true; // A key may be spelled in another way.
  return fields.some((field) => {
    const quoted = JSON.stringify(field);
    return typeof record[field] === 'object' || text.includes(quoted, text.indexOf(quoted) + 1);
  });
}

/** A number in decimal digits as a number while it is exact, else as the digits. */
export function exactNumber(digits: string): number | string {
  return isExact(digits) ? Number(digits) : digits;
}

function isExact(digits: string): boolean {
  const number = Number(digits);
  if (/^-?\d+$/.test(digits)) return Number.isSafeInteger(number);
  return Number.isFinite(number) && canonicalDecimal(digits) === canonicalDecimal(String(number));
}

/** The same text for equal decimal numbers. */
function canonicalDecimal(number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(number) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}
