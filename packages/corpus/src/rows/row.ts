/** Extracts rows (text, id and kept columns) from decoded records, and validates them. */
import { rejectRow, type RejectedRow } from './rejected-row.ts';

/** The id of a row in the output. Numbers are safe integers. */
export type RowId = number | string;

/** How ids are stored: `int64` for row numbers, and for an id field whose first values are integers; else `string`. */
export type IdType = 'int64' | 'string';

/** A text to embed, with its id and kept columns. */
export interface Row {
  /** Index within its input, from 0. */
  readonly inputRow: number;
  /** Line number, from 1; absent for Parquet. */
  readonly line?: number | undefined;
  readonly id: RowId;
  readonly text: string;
  /** Values of the kept columns in order, as JSON values; null if the row has no value. */
  readonly values: readonly unknown[];
}

/** The fields to extract from a record. */
export interface RowFields {
  readonly textField: string;
  readonly idField: string | null;
  readonly idType: IdType;
  readonly columns: readonly string[];
}

/** The position of a row. */
export interface RowPosition {
  readonly file: string;
  readonly inputRow: number;
  readonly line?: number | undefined;
  /** Index of the row in the whole corpus. It is the id if the corpus has no id field. */
  readonly row: number;
}

/** Extracts a row from a record, or returns why the record is invalid. */
export function takeRow(
  record: Readonly<Record<string, unknown>>,
  position: RowPosition,
  fields: RowFields,
): Row | RejectedRow {
  const { textField, idField } = fields;
  if (!Object.hasOwn(record, textField)) return rejectRow(position, 'missing-field', missingField(textField, record));
  const text = record[textField];
  if (typeof text !== 'string') return rejectRow(position, 'not-text', notText(textField, text));
  if (idField !== null && !Object.hasOwn(record, idField))
    return rejectRow(position, 'missing-field', missingField(idField, record));
  const id = idField === null ? position.row : idFrom(record[idField], idField, fields.idType);
  if (typeof id === 'object') return rejectRow(position, 'invalid-id', id.problem);
  const values = fields.columns.map((column) => (Object.hasOwn(record, column) ? (record[column] ?? null) : null));
  const unwritable = values.findIndex((value) => !isWritable(value));
  if (unwritable !== -1) {
    const reason = `The field "${fields.columns[unwritable]}" cannot be kept: it is nested too deeply, or too long.`;
    return rejectRow(position, 'invalid-value', reason);
  }
  return { inputRow: position.inputRow, line: position.line, id, text, values };
}

/** Whether a kept value can be written as JSON. */
function isWritable(value: unknown): boolean {
  if (typeof value !== 'object') return true;
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

function idFrom(value: unknown, field: string, type: IdType): RowId | { readonly problem: string } {
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return {
      problem: `The id in "${field}" is beyond 2^53, where numbers in JSON lose digits. Write the ids as strings.`,
    };
  }
  if (type === 'string') {
    if (typeof value === 'string') return isWellFormed(value) ? value : { problem: malformedId(field) };
    if (typeof value === 'number') return String(value);
    return { problem: `The id in "${field}" is ${nameType(value)}; an id is a string or a whole number.` };
  }
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  return {
    problem: `The id in "${field}" is ${nameType(value)}, but the first ids of the corpus are whole numbers. Write all ids as strings.`,
  };
}

/** A lone surrogate would become U+FFFD in UTF-8, which could make two ids equal. */
function malformedId(field: string): string {
  return `The id in "${field}" has a lone surrogate, which UTF-8 cannot encode. Use another id.`;
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** The message for a record without a field. */
export function missingField(field: string, record: Readonly<Record<string, unknown>>): string {
  return `There is no field "${field}"; the row has ${listFields(Object.keys(record))}.`;
}

/** The message for a field that is not a text. */
export function notText(field: string, value: unknown): string {
  return `The field "${field}" is ${nameType(value)}, not a text.`;
}

/** Formats at most twenty field names for a message. */
export function listFields(names: readonly string[]): string {
  if (names.length === 0) return 'no fields';
  const shown = names.slice(0, 20).map((name) => (name.length > 60 ? `${name.slice(0, 60)}…` : name));
  return names.length > 20 ? `${shown.join(', ')} and ${names.length - 20} more` : shown.join(', ');
}

function nameType(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'a list';
  return { string: 'a text', number: 'a number', boolean: 'true or false' }[typeof value as string] ?? 'an object';
}
