/** Parses JSON without losing digits: a number that JavaScript cannot hold becomes the text of its digits. */

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
