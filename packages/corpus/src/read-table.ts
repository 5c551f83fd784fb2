/** Reads tables of texts and labels from JSON lines, CSV, TSV and Parquet, for training and evaluation. */
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';
import type { ByteFormat } from './request.ts';
import { decodeRows, parseHeader } from './rows/decode.ts';
import { readParquetRows, readParquetSummary } from './parquet/parquet-reader.ts';
import { listFields, missingField, notText } from './rows/row.ts';
import { delimiters, recogniseLineEnd, type LineEnd } from './rows/row-scanner.ts';
import { streamRows } from './rows/stream-rows.ts';
import { findFile } from './inputs/find-inputs.ts';
import { headBytes, missingHeaderError } from './inputs/inspect-input.ts';
import { recogniseFormat, refuseUnreadable } from './inputs/input-format.ts';
import { peek, streamFile, unpackedBlocks, unpackError } from './inputs/unpack-input.ts';

/** A column: its name, or its index from 0. JSON lines have only names. */
export type ColumnName = string | number;

/** What to read from a file of examples. */
export interface TableRequest {
  /**
   * JSON lines, CSV, TSV or Parquet, plain or gzip. The format is detected from the name, or else from the first bytes.
   */
  readonly file: string;
  /** The text columns. */
  readonly columns: readonly ColumnName[];
  readonly label?: ColumnName | undefined;
  /**
   * `number`: a label is a number or a list of numbers. `class`: a label is a class name, which may be a number.
   * @default 'number'
   */
  readonly labelKind?: 'number' | 'class' | undefined;
  /**
   * Whether the first row of CSV or TSV has column names. `auto`: it has, unless the label in it is a number; give the
   * label column by its index then. Other formats always have names.
   * @default true
   */
  readonly header?: boolean | 'auto' | undefined;
  /**
   * Whether plain text is accepted: each line is a row with a single column.
   * @default false
   */
  readonly plainText?: boolean | undefined;
}

/** Texts by column, and labels. */
export interface Table {
  readonly columns: readonly (readonly string[])[];
  /** The labels for `labelKind: 'number'`: one number or one list of numbers per row. */
  readonly labels?: readonly (number | readonly number[])[] | undefined;
  /** The labels for `labelKind: 'class'`. */
  readonly classes?: readonly string[] | undefined;
}

/**
 * Reads a whole file of examples.
 *
 * @throws SentvecError `invalid-corpus` for a missing or broken file, a missing column, a field that is not a text, or
 * a label that is not a number. The error has the file, the row (from 0) and the line
 */
export async function readTable(request: TableRequest): Promise<Table> {
  const { columns: names, label, labelKind = 'number' } = request;
  const columns = names.map((): string[] => []);
  const labels: (number | readonly number[])[] = [];
  const classes: string[] = [];
  for await (const row of readRows(request)) {
    for (const [index, name] of names.entries()) columns[index]!.push(textOf(row, name));
    if (label === undefined) continue;
    if (labelKind === 'class') classes.push(classOf(row, label));
    else labels.push(labelOf(row, label));
  }
  if (label === undefined) return { columns };
  return labelKind === 'class' ? { columns, classes } : { columns, labels };
}

/** What to read from a file of texts. */
export interface TextSampleRequest {
  /** Plain text with one text per line, JSON lines, CSV, TSV or Parquet; plain or gzip. */
  readonly file: string;
  /** Maximum number of texts. Infinity reads all. */
  readonly count: number;
  /**
   * The field or column with the text. Ignored for plain text.
   * @default 'text'
   */
  readonly column?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Samples texts from a whole file at equal distances, in order. The sample is always the same. Blank texts are skipped.
 * The file is read once; memory is needed for 2 × `count` texts.
 * @throws SentvecError the errors of {@link readTable}; `aborted`
 */
export async function sampleTexts(request: TextSampleRequest): Promise<string[]> {
  checkOptionNames('sampleTexts()', request, { file: true, count: true, column: true, signal: true });
  const { file, count, column = 'text', signal } = request;
  if (count !== Infinity) checkCount(count, 'count');
  let texts: string[] = [];
  let stride = 1;
  let seen = 0;
  for await (const row of readRows({ file, columns: [column], plainText: true })) {
    throwIfAborted(signal);
    const text = textOf(row, column);
    if (text.trim() === '') continue;
    if (seen % stride === 0) texts.push(text);
    seen += 1;
    if (texts.length < 2 * count) continue;
    // The sample is full: drop every second text, and double the distance between samples.
    texts = texts.filter((_, index) => index % 2 === 0);
    stride *= 2;
  }
  const taken = Math.min(count, texts.length);
  return Array.from({ length: taken }, (_, index) => texts[Math.floor((index * texts.length) / taken)]!);
}

/** A row of a file: values by column name. */
export interface TableRow {
  readonly file: string;
  /** Index of the row, from 0. A header is not a row. */
  readonly row: number;
  /** Line number, from 1. Absent for Parquet. */
  readonly line?: number | undefined;
  readonly record: Readonly<Record<string, unknown>>;
  /** Column names in order, for CSV with a header and for Parquet. */
  readonly columns?: readonly string[] | undefined;
}

/** Options of {@link readRows}: a {@link TableRequest} and columns that may be missing. */
interface RowsRequest extends TableRequest {
  readonly optional?: readonly string[] | undefined;
}

/** Reads the rows of a file one by one. */
export async function* readRows(request: RowsRequest): AsyncGenerator<TableRow, void> {
  const { file, plainText = false } = request;
  const found = await findFile(file);
  const { path } = found;
  const stream = streamFile(found);
  try {
    const { first, all } = await peek(await unpackedBlocks(stream), headBytes);
    refuseUnreadable(file, first);
    const format = recogniseFormat(file, first);
    if (format === 'text' && !plainText) throw notTableError(file);
    if (format === 'parquet') yield* readParquetTable(request, path);
    else yield* readTextTable(request, { format, lineEnd: recogniseLineEnd(format, first) }, all);
  } catch (error) {
    throw unpackError(error, file);
  } finally {
    stream.destroy();
  }
}

async function* readTextTable(
  request: RowsRequest,
  { format, lineEnd }: { readonly format: ByteFormat; readonly lineEnd: LineEnd },
  blocks: AsyncIterable<Buffer>,
): AsyncGenerator<TableRow, void> {
  const { file } = request;
  const delimiter = format === 'csv' || format === 'tsv' ? delimiters[format] : undefined;
  let columns: readonly string[] | undefined;
  let first = true;
  let row = 0;
  for await (const found of streamRows(file, format, lineEnd, blocks)) {
    let rows = found;
    if (first && delimiter !== undefined) {
      const cells = parseHeader(file, rows[0]!.bytes, delimiter);
      if (hasHeader(request, cells)) {
        columns = cells;
        rows = rows.slice(1);
        resolveColumns(request, columns); // Throws if a column is missing.
      }
    }
    first = false;
    const { columns: texts, label = [], optional = [] } = request;
    const fields = [texts, label, optional].flat().map(String);
    const encoding = { format, split: 'line', fields, lineEnd, columns } as const;
    const decoded = decodeRows(
      rows.map(({ bytes }) => bytes),
      encoding,
    );
    for (const [index, each] of decoded.entries()) {
      const { line } = rows[index]!;
      if ('code' in each) throw rowError({ file, row, line }, each.reason);
      yield { file, row, line, record: each.record, columns };
      row += 1;
    }
  }
  if (first && delimiter !== undefined && (request.header ?? true) === true) throw missingHeaderError(file);
}

function hasHeader({ header = true, label }: TableRequest, cells: readonly string[]): boolean {
  if (header !== 'auto') return header;
  return typeof label !== 'number' || !isNumeric(cells[label]);
}

async function* readParquetTable(request: RowsRequest, path: string): AsyncGenerator<TableRow, void> {
  const { file, optional = [] } = request;
  const { columns: there, groups } = await readParquetSummary({ name: file, path });
  const columns = [...resolveColumns(request, there), ...optional.filter((name) => there.includes(name))];
  const texts = request.columns.map((column) => nameOf(column, there));
  let start = 0;
  for (const rows of groups) {
    const range = { name: file, path, start, end: start + rows, columns, texts };
    const { records, invalidTexts } = rows === 0 ? noRows : await readParquetRows(range);
    for (const [row, column] of invalidTexts)
      throw rowError({ file, row: start + row }, `The field "${column}" is not valid UTF-8. Convert it to UTF-8.`);
    for (const [index, record] of records.entries()) yield { file, row: start + index, record, columns: there };
    start += rows;
  }
}

const noRows = { records: [], invalidTexts: [] };

/** The distinct names of the requested columns. @throws SentvecError `invalid-corpus` for a missing column */
function resolveColumns({ file, columns, label }: TableRequest, there: readonly string[]): string[] {
  const wanted = new Set([...columns, ...(label === undefined ? [] : [label])].map((column) => nameOf(column, there)));
  for (const name of wanted) {
    if (there.includes(name) && there.indexOf(name) === there.lastIndexOf(name)) continue;
    const problem = there.includes(name) ? `two columns "${name}"` : `no column "${name}"`;
    const message = `${file} has ${problem}. Its columns: ${listFields(there)}.`;
    throw new SentvecError('invalid-corpus', message, { file, fields: there });
  }
  return [...wanted];
}

/** @throws SentvecError `invalid-corpus` when the field is missing or not a text */
export function textOf(row: TableRow, column: ColumnName): string {
  const { name, value } = fieldOf(row, column);
  if (typeof value === 'string') return value;
  throw rowError(row, notText(name, value));
}

function labelOf(row: TableRow, column: ColumnName): number | readonly number[] {
  const { name, value } = fieldOf(row, column);
  if (isNumeric(value)) return Number(value);
  if (Array.isArray(value) && value.length > 0 && value.every((entry) => typeof entry === 'number')) return value;
  throw rowError(row, `The label in "${name}" is ${JSON.stringify(value)}, not a number.`);
}

function classOf(row: TableRow, column: ColumnName): string {
  const { name, value } = fieldOf(row, column);
  if (typeof value === 'string' && value.trim() !== '') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw rowError(row, `The label in "${name}" is ${JSON.stringify(value)}, not the name of a class.`);
}

function fieldOf(row: TableRow, column: ColumnName): { readonly name: string; readonly value: unknown } {
  const name = nameOf(column, row.columns);
  if (Object.hasOwn(row.record, name)) return { name, value: row.record[name] };
  throw rowError(row, missingField(name, row.record));
}

/** Resolves an index to the name in the header. Without a header, the index is the name. */
function nameOf(column: ColumnName, columns: readonly string[] | undefined): string {
  return typeof column === 'number' ? (columns?.[column] ?? String(column)) : column;
}

function isNumeric(value: unknown): boolean {
  if (typeof value === 'string') return value.trim() !== '' && !Number.isNaN(Number(value));
  return typeof value === 'number' && !Number.isNaN(value);
}

/** An error with file, row and line. */
export function rowError({ file, row, line }: Pick<TableRow, 'file' | 'row' | 'line'>, reason: string): SentvecError {
  const position = line === undefined ? `row ${row}` : `row ${row} (line ${line})`;
  return new SentvecError('invalid-corpus', `${file}, ${position}: ${reason}`, { file, row, line });
}

function notTableError(file: string): SentvecError {
  const message = `${file} is not a table. Examples are read from .jsonl, .csv, .tsv and .parquet files, plain or .gz.`;
  return new SentvecError('invalid-corpus', message, { file });
}
