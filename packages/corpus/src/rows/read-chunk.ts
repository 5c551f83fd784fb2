/** Reads the rows of a chunk. */
import { sha256 } from '@sentvec/platform';
import type { ByteChunk, CorpusChunk } from '../chunk.ts';
import { changedInputError, InputFile } from '../inputs/input-file.ts';
import { inspectFile } from '../inputs/inspect-input.ts';
import type { CorpusOptions } from '../request.ts';
import { hashContent, maxRowBytes } from './content-hash.ts';
import { decodeRows } from './decode.ts';
import { hashFooter, readParquetRows } from './parquet.ts';
import { rejectRow, type RejectedRow } from './rejected-row.ts';
import { createRowScanner, withoutTerminator } from './row-scanner.ts';
import { takeRow, type Row, type RowFields, type RowPosition } from './row.ts';
import { fieldsOf } from './split-input.ts';

/** The rows of a chunk that can be embedded, and those that cannot, each in order. */
export interface ChunkRows {
  readonly rows: readonly Row[];
  readonly rejectedRows: readonly RejectedRow[];
  /**
   * Identifies what was read: equal for equal rows of the same columns. A hash of the bytes; for Parquet, of the values.
   */
  readonly content: string;
}

/**
 * Reads the rows of a chunk.
 *
 * @throws SentvecError `invalid-corpus` when the file has changed since it was planned or cannot be read at all,
 * `io-failed`
 */
export async function readChunk(
  chunk: CorpusChunk,
  split: CorpusOptions['split'],
  fields: RowFields,
): Promise<ChunkRows> {
  const { format } = chunk;
  const file = await InputFile.open(chunk.input, chunk.path, chunk.file);
  try {
    const read =
      format === 'parquet'
        ? await readParquetChunk(file, chunk, fields)
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

async function readParquetChunk(file: InputFile, chunk: CorpusChunk, fields: RowFields): Promise<ReadRows> {
  const { input, path, start, end } = chunk;
  if ((await hashFooter(file, chunk.file.bytes)) !== chunk.content) throw changedInputError(input);
  const records = await readParquetRows(input, path, { start, end, columns: fieldsOf(fields) });
  const all = records.map((record, index) => takeRow(record, positionOf(chunk, index), fields));
  return { all, content: await sha256(JSON.stringify(records)) };
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
    const reason = `The row has ${size} bytes; at most ${maxRowBytes} are read.`;
    return { all: [rejectRow(positionOf(chunk, 0, chunk.firstLine), 'too-long', reason)], content };
  }
  const columns = await columnsOf(file, chunk);
  const bytes = await file.read(start, end);
  const found = findRows(bytes, chunk, split);
  if (found.length !== chunk.rows || (await hashContent(bytes, columns)) !== content) throw changedInputError(input);
  const encoding = { format, split, textField: fields.textField, columns };
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

/** The columns of a chunk of CSV. */
async function columnsOf(file: InputFile, { format, input, end }: ByteChunk): Promise<readonly string[] | undefined> {
  return format === 'csv' || format === 'tsv' ? (await inspectFile(file, input, end, format)).columns : undefined;
}

function findRows(buffer: Buffer, chunk: ByteChunk, split: CorpusOptions['split']): { bytes: Buffer; line: number }[] {
  const rows: { bytes: Buffer; line: number }[] = [];
  const scanner = createRowScanner(
    chunk.format,
    split,
    { position: 0, line: chunk.firstLine },
    (start, next, line) => void rows.push({ bytes: withoutTerminator(buffer.subarray(start, next)), line }),
  );
  scanner.push(buffer);
  scanner.end();
  return rows;
}
