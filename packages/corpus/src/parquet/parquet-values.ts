/** Converts the values of a Parquet file to JSON, without losing digits or characters. */
import type { SchemaElement, SchemaTree } from 'hyparquet';
import { isListLike, isMapLike } from 'hyparquet/src/schema.js';
import { exactNumber, parseJson } from '../rows/parse-json.ts';

/** Marks a text that is not valid UTF-8. */
const invalidText: unique symbol = Symbol('invalid text');
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeStrictly(bytes: Uint8Array): string | typeof invalidText {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return invalidText;
  }
}

/** Parsers for the library. They return ISO 8601 strings, because a Date has only milliseconds and a limited range. */
export const parsers = {
  timestampFromMilliseconds: (value: bigint): string => isoTime(value, 1000n),
  timestampFromMicroseconds: (value: bigint): string => isoTime(value, 1_000_000n),
  timestampFromNanoseconds: (value: bigint): string => isoTime(value, 1_000_000_000n),
  dateFromDays: (value: number): string => isoTime(BigInt(value) * 86_400n, 1n, value),
  stringFromBytes: (bytes: Uint8Array): string | typeof invalidText => decodeStrictly(bytes),
  jsonFromBytes: (bytes: Uint8Array): unknown => parseJsonColumn(decodeStrictly(bytes)),
};

/** Formats a time as ISO 8601 with all its digits, at least three. A time out of range stays the stored number. */
function isoTime(value: bigint, unitsPerSecond: bigint, stored: bigint | number = value): string {
  const fraction = ((value % unitsPerSecond) + unitsPerSecond) % unitsPerSecond;
  const date = new Date(Number((value - fraction) / unitsPerSecond) * 1000);
  if (Number.isNaN(date.getTime())) return String(stored);
  const places = String(unitsPerSecond).length - 1;
  const digits = places === 0 ? '' : String(fraction).padStart(places, '0');
  return date.toISOString().replace('000Z', `${digits.replace(/(?:000)+$/, '').padEnd(3, '0')}Z`);
}

function parseJsonColumn(text: string | typeof invalidText): unknown {
  if (text === invalidText) return text;
  try {
    const value = parseJson(text);
    JSON.stringify(value); // Throws if the value is nested too deeply.
    return value;
  } catch {
    return text;
  }
}

/**
 * Changes the schema for the library. For some types it would lose digits or reject the file. Here they get their plain
 * physical type, and {@link toJson} converts the values.
 */
export function readableSchema(schema: readonly SchemaElement[]): SchemaElement[] {
  return schema.map((element) => {
    if (element.type === undefined || !isConvertedHere(element)) return element;
    const { converted_type: _converted, logical_type: _logical, ...stored } = element;
    return stored;
  });
}

function isConvertedHere(element: SchemaElement): boolean {
  const { converted_type: converted, logical_type: logical } = element;
  return isUnsigned64(element) || convertedHere.has(converted) || convertedHere.has(logical?.type);
}

const convertedHere: ReadonlySet<unknown> = new Set(['DECIMAL', 'BSON', 'INTERVAL', 'GEOMETRY', 'GEOGRAPHY']);

function isUnsigned64({ converted_type: converted, logical_type: logical }: SchemaElement): boolean {
  return converted === 'UINT_64' || (logical?.type === 'INTEGER' && logical.bitWidth === 64 && !logical.isSigned);
}

/**
 * Converts a value to JSON. Numbers that JavaScript cannot represent exactly become strings of digits; times become ISO
 * 8601, and bytes base64.
 *
 * @param node the schema of the value: a column, or a part of a nested column
 * @param onInvalidText called for a text that is not valid UTF-8; it becomes null
 */
export function toJson(node: SchemaTree, value: unknown, onInvalidText: () => void): unknown {
  if (value === null || value === undefined) return null;
  if (value === invalidText) {
    onInvalidText();
    return null;
  }
  const convert = (part: SchemaTree, each: unknown): unknown => toJson(part, each, onInvalidText);
  if (isListLike(node) && Array.isArray(value)) {
    const [list] = node.children;
    return value.map((each) => convert(list!.children.length === 1 ? list!.children[0]! : list!, each));
  }
  if (Array.isArray(value)) return value.map((each) => convert(node, each));
  if (node.children.length === 0) return leafToJson(node.element, value);
  if (node.element.logical_type?.type === 'VARIANT') return anyToJson(value);
  const record = value as Readonly<Record<string, unknown>>;
  if (isMapLike(node)) {
    const content = node.children[0]!.children[1]!;
    return Object.fromEntries(Object.entries(record).map(([key, each]) => [key, convert(content, each)]));
  }
  return Object.fromEntries(
    node.children.map((child) => [child.element.name, convert(child, record[child.element.name])]),
  );
}

function leafToJson(element: SchemaElement, value: unknown): unknown {
  if (element.converted_type === 'DECIMAL' || element.logical_type?.type === 'DECIMAL')
    return exactNumber(decimalText(unscaled(value), element.scale ?? 0));
  if (typeof value === 'bigint' && isUnsigned64(element)) return anyToJson(BigInt.asUintN(64, value));
  return anyToJson(value);
}

function unscaled(value: unknown): bigint {
  if (!(value instanceof Uint8Array)) return BigInt(value as number | bigint);
  const digits = Buffer.from(value).toString('hex');
  return digits === '' ? 0n : BigInt.asIntN(value.length * 8, BigInt(`0x${digits}`));
}

function decimalText(value: bigint, scale: number): string {
  if (scale <= 0) return String(value * 10n ** BigInt(-scale));
  const digits = String(value < 0n ? -value : value).padStart(scale + 1, '0');
  return `${value < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

function anyToJson(value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === 'bigint') return exactNumber(String(value));
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value !== 'object') return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return Array.from(value as unknown as ArrayLike<unknown>, anyToJson);
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, anyToJson(entry)]));
}

/**
 * Converts a value of a text or id column. Bytes that the file does not mark as text are decoded. NaN and infinity
 * become null: pandas writes NaN for a missing id, and as the string "NaN" all rows without an id would get the same
 * one.
 */
export function textOf(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return null;
  return value instanceof Uint8Array ? decodeStrictly(value) : value;
}
