/** Reads the rows of a chunk. */
import type { ByteChunk, CorpusChunk } from '../chunk.ts';
import { changedInputError, openInput, type InputFile } from '../inputs/input-file.ts';
import { inspectFile } from '../inputs/inspect-input.ts';
import type { CorpusOptions } from '../request.ts';
import { hashContent, maxRowBytes } from './content-hash.ts';
import { decodeRows } from './decode.ts';
import { readParquetRows } from '../parquet/parquet-reader.ts';
import { rejectRow, type RejectedRow } from './rejected-row.ts';
import { createRowScanner, withoutTerminator, type LineEnd } from './row-scanner.ts';
import { takeRow, type Row, type RowFields, type RowPosition } from './row.ts';
import { fieldsOf } from './split-input.ts';

/** The valid rows of a chunk and its rejected rows, both in order. */
export interface ChunkRows {
  readonly rows: readonly Row[];
  readonly rejectedRows: readonly RejectedRow[];
  /** A hash of the rows and columns that were read: of the bytes, for Parquet of the values. */
  readonly content: string;
}

/**
 * Reads the rows of a chunk.
 *
 * @throws SentvecError `invalid-corpus` when the file has changed since it was planned, or cannot be read; `io-failed`
 */
export async function readChunk(
  chunk: CorpusChunk,
  split: CorpusOptions['split'],
  fields: RowFields,
  signal?: AbortSignal,
): Promise<ChunkRows> {
  const { format } = chunk;
  const file = await openInput(chunk.input, chunk.path, { state: chunk.file, signal });
  try {
    const read =
      format === 'parquet'
        ? await readParquetChunk(chunk, fields, signal)
        : await readByteChunk(file, { ...chunk, format }, split, fields);
    await file.check();
    return separate(read);
  } finally {
    await file.close();
  }
}

interface ReadRows {
  readonly all: readonly (Row | RejectedRow)[];
  readonly content: string;
}

function separate({ all, content }: ReadRows): ChunkRows {
  const rows: Row[] = [];
  const rejectedRows: RejectedRow[] = [];
  for (const row of all) {
    if ('code' in row) rejectedRows.push(row);
    else rows.push(row);
  }
  return { rows, rejectedRows, content };
}

async function readParquetChunk(
  chunk: CorpusChunk,
  fields: RowFields,
  signal: AbortSignal | undefined,
): Promise<ReadRows> {
  const { input, path, start, end } = chunk;
  const { textField, idField } = fields;
  const texts = [textField, ...(idField === null ? [] : [idField])];
  const range = { name: input, path, start, end, columns: fieldsOf(fields), texts };
  const { records, invalidTexts, content, footer } = await readParquetRows(range, signal);
  if (footer !== chunk.content) throw changedInputError(input);
  const invalid = new Map(invalidTexts);
  const all = records.map((record, index) => {
    const position = positionOf(chunk, index);
    const column = invalid.get(index);
    if (column === undefined) return takeRow(record, position, fields);
    return rejectRow(position, 'invalid-utf8', `The field "${column}" is not valid UTF-8. Convert it to UTF-8.`);
  });
  return { all, content };
}

async function readByteChunk(
  file: InputFile,
  chunk: ByteChunk,
  split: CorpusOptions['split'],
  fields: RowFields,
): Promise<ReadRows> {
  const { input, start, end, format, content } = chunk;
  const size = end - start;
  if (size > maxRowBytes) {
    const reason = `The row has ${size} bytes; the maximum is ${maxRowBytes}.`;
    return { all: [rejectRow(positionOf(chunk, 0, chunk.firstLine), 'too-long', reason)], content };
  }
  const { columns, lineEnd } = await inspectFile(file, input, chunk.file.bytes, format);
  const bytes = await file.read(start, end);
  const found = findRows(bytes, chunk, split, lineEnd);
  if (found.length !== chunk.rows || (await hashContent(bytes, columns)) !== content) throw changedInputError(input);
  const encoding = { format, split, fields: fieldsOf(fields), lineEnd, columns };
  const decoded = decodeRows(
    found.map((row) => row.bytes),
    encoding,
  );
  const all = decoded.map((row, index) => {
    const position = positionOf(chunk, index, found[index]!.line);
    return 'record' in row ? takeRow(row.record, position, fields) : rejectRow(position, row.code, row.reason);
  });
  return { all, content };
}

function positionOf(chunk: CorpusChunk, index: number, line?: number): RowPosition {
  return { file: chunk.input, inputRow: chunk.firstInputRow + index, line, row: chunk.firstRow + index };
}

function findRows(
  buffer: Buffer,
  chunk: ByteChunk,
  split: CorpusOptions['split'],
  lineEnd: LineEnd,
): { bytes: Buffer; line: number }[] {
  const rows: { bytes: Buffer; line: number }[] = [];
  const scanner = createRowScanner(
    chunk.format,
    split,
    lineEnd,
    { position: 0, line: chunk.firstLine },
    (start, next, line) => void rows.push({ bytes: withoutTerminator(buffer.subarray(start, next)), line }),
  );
  scanner.push(buffer);
  scanner.end();
  return rows;
}
