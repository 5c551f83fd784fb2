import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { parse } from 'csv-parse';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { SentvecError } from '@sentvec/core';

/** A column by its name, or by its number in a file without a header. */
export type ColumnName = string | number;

/** What to read of a file of examples. */
export interface TableRequest {
  readonly file: string;
  readonly columns: readonly ColumnName[];
  readonly label?: ColumnName | undefined;
  /**
   * `number`: a label is a number or a list of numbers. `class`: the name of a class; numbers are names too. Default
   * `number`.
   */
  readonly labelKind?: 'number' | 'class' | undefined;
  /** Default true. CSV and TSV only. */
  readonly header?: boolean | undefined;
}

/** Texts by column, and labels as they stand in the file: a number, or a list of numbers. */
export interface Table {
  readonly columns: readonly (readonly string[])[];
  readonly labels?: readonly (number | readonly number[])[] | undefined;
  /** Names of classes, as `labelKind` asks. */
  readonly classes?: readonly string[] | undefined;
}

/**
 * Reads examples from JSON lines, CSV, TSV or Parquet, plain or gzip, by the file's name.
 * @throws SentvecError `invalid-corpus` for a file that is not there or is broken, an unknown column, a field that is
 * not text, a label that is not a number; names file and row
 */
export async function readTable(request: TableRequest): Promise<Table> {
  const columns: string[][] = request.columns.map(() => []);
  const labels: (number | readonly number[])[] = [];
  const classes: string[] = [];
  const byClass = request.labelKind === 'class';
  let row = 0;
  for await (const record of readRecords(request)) {
    for (const [index, name] of request.columns.entries())
      columns[index]!.push(textOf(record, name, request.file, row));
    if (request.label !== undefined && byClass) classes.push(classOf(record, request.label, request.file, row));
    else if (request.label !== undefined) labels.push(labelOf(record, request.label, request.file, row));
    row++;
  }
  if (request.label === undefined) return { columns };
  return byClass ? { columns, classes } : { columns, labels };
}

type TableRecord = Readonly<Record<string, unknown>>;

async function* readRecords({ file, header = true }: TableRequest): AsyncIterable<TableRecord> {
  const name = file.replace(/\.gz$/, '');
  await mustExist(file);
  if (name.endsWith('.parquet')) {
    yield* await parquetReadObjects({ file: await asyncBufferFromFile(file) });
  } else if (/\.[ct]sv$/.test(name)) {
    yield* readDelimited(file, name.endsWith('.tsv') ? '\t' : ',', header);
  } else if (/\.(jsonl|ndjson|json)$/.test(name)) {
    yield* readJsonLines(file);
  } else {
    throw new SentvecError(
      'invalid-corpus',
      `${file}: examples are read from .jsonl, .csv, .tsv or .parquet files, plain or .gz.`,
      {
        file,
      },
    );
  }
}

async function mustExist(file: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file);
  } catch (cause) {
    throw new SentvecError(
      'invalid-corpus',
      `${file} cannot be read: ${(cause as Error).message}`,
      { file },
      { cause },
    );
  } finally {
    await handle?.close();
  }
}

function bytesOf(file: string): Readable {
  const source = createReadStream(file);
  if (!file.endsWith('.gz')) return source;
  const plain = createGunzip();
  source.on('error', (error) => plain.destroy(error));
  return source.pipe(plain);
}

async function* readDelimited(file: string, delimiter: string, header: boolean): AsyncIterable<TableRecord> {
  const parser = bytesOf(file).pipe(
    parse({ delimiter, columns: header, bom: true, skip_empty_lines: true, relax_column_count: true }),
  );
  try {
    for await (const record of parser)
      yield (header ? record : Object.fromEntries((record as string[]).entries())) as TableRecord;
  } catch (cause) {
    throw new SentvecError('invalid-corpus', `${file}: ${(cause as Error).message}`, { file }, { cause });
  }
}

async function* readJsonLines(file: string): AsyncIterable<TableRecord> {
  let row = 0;
  for await (const line of createInterface({ input: bytesOf(file), crlfDelay: Infinity })) {
    const text = row === 0 ? line.replace(/^\uFEFF/, '') : line;
    if (text.trim() === '') continue;
    yield parseLine(text, file, row);
    row++;
  }
}

function parseLine(line: string, file: string, row: number): TableRecord {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as TableRecord;
  } catch {
    // The message below says all there is to say.
  }
  throw new SentvecError('invalid-corpus', `${file}: row ${row} is not a JSON object.`, { file, row });
}

function textOf(record: TableRecord, name: ColumnName, file: string, row: number): string {
  const value = fieldOf(record, name, file, row);
  if (typeof value === 'string') return value;
  throw new SentvecError(
    'invalid-corpus',
    `${file}: row ${row} has ${JSON.stringify(value) ?? 'nothing'} in "${name}", where a text belongs.`,
    { file, row },
  );
}

function labelOf(record: TableRecord, name: ColumnName, file: string, row: number): number | readonly number[] {
  const value = fieldOf(record, name, file, row);
  const label =
    typeof value === 'string' && value.trim() !== ''
      ? Number(value)
      : typeof value === 'bigint'
        ? Number(value)
        : value;
  if (typeof label === 'number' && !Number.isNaN(label)) return label;
  if (Array.isArray(label) && label.length > 0 && label.every((entry) => typeof entry === 'number')) return label;
  throw new SentvecError(
    'invalid-corpus',
    `${file}: row ${row} has the label ${JSON.stringify(value) ?? 'nothing'} in "${name}", which is not a number.`,
    { file, row },
  );
}

function classOf(record: TableRecord, name: ColumnName, file: string, row: number): string {
  const value = fieldOf(record, name, file, row);
  if (typeof value === 'string' && value.trim() !== '') return value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  throw new SentvecError(
    'invalid-corpus',
    `${file}: row ${row} has ${JSON.stringify(value) ?? 'nothing'} in "${name}", where the name of a class belongs.`,
    { file, row },
  );
}

function fieldOf(record: TableRecord, name: ColumnName, file: string, row: number): unknown {
  if (Object.hasOwn(record, String(name))) return record[String(name)];
  const names = Object.keys(record).join(', ');
  throw new SentvecError('invalid-corpus', `${file}: row ${row} has no column "${name}". Its columns: ${names}.`, {
    file,
    row,
  });
}
