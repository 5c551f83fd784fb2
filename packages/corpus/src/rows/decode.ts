/** Decodes the bytes of rows into records: JSON lines, plain text, CSV and TSV. */
import { isUtf8 } from 'node:buffer';
import { SentvecError } from '@sentvec/core';
import { parse } from 'csv-parse/sync';
import type { RejectedRowCode } from './rejected-row.ts';
import type { ByteFormat, CorpusOptions } from '../request.ts';
import { parseJson, repeatedKey } from './parse-json.ts';
import { delimiters, type LineEnd } from './row-scanner.ts';

/** A decoded record, or the reason why its bytes cannot be decoded. */
export type Decoded =
  | { readonly record: Readonly<Record<string, unknown>> }
  | { readonly code: RejectedRowCode; readonly reason: string };

/** How the bytes of rows are decoded. */
export interface RowEncoding {
  readonly format: ByteFormat;
  readonly split: CorpusOptions['split'];
  /** The fields that are read. Plain text has only the first one. */
  readonly fields: readonly string[];
  readonly lineEnd: LineEnd;
  /**
   * The column names of CSV. Without them, the fields of a record are named 0, 1, 2 and so on, and records may have
   * different numbers of fields.
   */
  readonly columns?: readonly string[] | undefined;
}

/** Decodes each row into a record. The bytes of a row have no line terminator. */
export function decodeRows(rows: readonly Buffer[], encoding: RowEncoding): Decoded[] {
  const { format, split, fields, lineEnd, columns } = encoding;
  const csv = format === 'csv' || format === 'tsv' ? parseCsv(rows, delimiters[format]) : [];
  return rows.map((bytes, index) => {
    if (!isUtf8(bytes))
      return { code: 'invalid-utf8', reason: 'The row is not valid UTF-8. Convert the file to UTF-8.' };
    if (format === 'jsonl') return decodeJson(bytes.toString('utf8'), fields);
    if (format === 'text') return { record: { [fields[0]!]: plainText(bytes.toString('utf8'), split, lineEnd) } };
    return decodeCsv(csv[index]!, columns);
  });
}

function plainText(text: string, split: CorpusOptions['split'], lineEnd: LineEnd): string {
  if (split === 'line') return text;
  return text
    .split(lineEnd === 'lf' ? '\n' : /\r\n?|\n/)
    .map((line) => line.trim())
    .join(' ');
}

function decodeJson(text: string, fields: readonly string[]): Decoded {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    return {
      code: 'invalid-json',
      reason: `The line is not valid JSON: ${error instanceof Error ? error.message : String(error)}.`,
    };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { code: 'invalid-json', reason: 'The line is not a JSON object.' };
  const record = value as Record<string, unknown>;
  const repeated = repeatedKey(text, record, fields);
  if (repeated === undefined) return { record };
  const reason = `The key ${JSON.stringify(repeated.slice(0, 60))} occurs twice in an object. Remove one of them.`;
  return { code: 'invalid-json', reason };
}

function decodeCsv(cells: readonly string[] | Error, columns: readonly string[] | undefined): Decoded {
  if (cells instanceof Error) return { code: 'invalid-csv', reason: `The record cannot be read: ${cells.message}.` };
  if (columns === undefined) return { record: Object.fromEntries(cells.entries()) };
  if (cells.length !== columns.length) {
    const reason = `The record has ${cells.length} fields, but the header has ${columns.length}. Quote a field that holds a delimiter.`;
    return { code: 'invalid-csv', reason };
  }
  return { record: Object.fromEntries(columns.map((column, at) => [column, cells[at]])) };
}

/**
 * Parses the header of a CSV file.
 *
 * @throws SentvecError `invalid-corpus` for a header that cannot be read
 */
export function parseHeader(file: string, header: Buffer, delimiter: string): readonly string[] {
  const [columns = []] = parseCsv([header], delimiter);
  if (!(columns instanceof Error)) return columns;
  const message = `${file}: the header cannot be read: ${columns.message}.`;
  throw new SentvecError('invalid-corpus', message, { file, line: 1 }, { cause: columns });
}

/**
 * Parses records of CSV into fields, or an error for a broken record. A quote within an unquoted field is part of the
 * text.
 */
function parseCsv(records: readonly Buffer[], delimiter: string): (readonly string[] | Error)[] {
  const options = {
    delimiter,
    relax_quotes: true,
    relax_column_count: true,
    skip_empty_lines: true,
    record_delimiter: ['\r\n', '\n'],
  };
  try {
    const all = parse(Buffer.concat(records.flatMap((record) => [record, Buffer.from('\n')])), options);
    if (all.length === records.length) return all;
  } catch {
    // At least one record is broken. The loop below parses them one by one.
  }
  return records.map((record) => {
    try {
      const [fields = [''], ...more] = parse(record, options);
      return more.length === 0 ? fields : new Error('it has an unpaired quote');
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  });
}
