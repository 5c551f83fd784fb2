/** A row of a corpus: what is taken from a record, and what can be wrong with it. */
import { rejectRow, type RejectedRow } from './rejected-row.ts';

/** A row's name in the output; numbers are whole and exact. */
export type RowId = number | string;

/** How ids are stored. Row numbers are `int64`, ids of the corpus too when the first of them are whole numbers. */
export type IdType = 'int64' | 'string';

/** A text to embed, with what is kept beside its vector. */
export interface Row {
  /** Counted from 0 within its input. */
  readonly inputRow: number;
  /** Counted from 1; absent for Parquet. */
  readonly line?: number | undefined;
  readonly id: RowId;
  readonly text: string;
  /** Values of the kept columns, in their order: JSON values, null where the row has none. */
  readonly values: readonly unknown[];
}

/** What to take from a record of the corpus. */
export interface RowFields {
  readonly textField: string;
  readonly idField: string | null;
  readonly idType: IdType;
  readonly columns: readonly string[];
}

/** Where a row stands. */
export interface RowPosition {
  readonly file: string;
  readonly inputRow: number;
  readonly line?: number | undefined;
  /** Its number in the whole corpus, which is its id when the corpus has none. */
  readonly row: number;
}

/** Takes a row out of a record, or says what is wrong with the record. */
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
  return { inputRow: position.inputRow, line: position.line, id, text, values };
}

function idFrom(value: unknown, field: string, type: IdType): RowId | { readonly problem: string } {
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return {
      problem: `The id in "${field}" is beyond 2^53, where numbers in JSON lose digits. Write the ids as strings.`,
    };
  }
  if (type === 'string') {
    if (typeof value === 'string') return value;
    if (typeof value === 'number') return String(value);
    return { problem: `The id in "${field}" is ${nameType(value)}; an id is a string or a whole number.` };
  }
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  return {
    problem: `The id in "${field}" is ${nameType(value)}, but the first ids of the corpus are whole numbers. Write all ids as strings.`,
  };
}

/** What is wrong with a record that lacks a field. */
export function missingField(field: string, record: Readonly<Record<string, unknown>>): string {
  return `There is no field "${field}"; the row has ${listFields(Object.keys(record))}.`;
}

/** What is wrong with a field that should hold a text. */
export function notText(field: string, value: unknown): string {
  return `The field "${field}" is ${nameType(value)}, not a text.`;
}

/** Names of fields for a message, the first twenty. */
export function listFields(names: readonly string[]): string {
  if (names.length === 0) return 'no fields';
  return names.length > 20 ? `${names.slice(0, 20).join(', ')} and ${names.length - 20} more` : names.join(', ');
}

function nameType(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'a list';
  return { string: 'a text', number: 'a number', boolean: 'true or false' }[typeof value as string] ?? 'an object';
}
