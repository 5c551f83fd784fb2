/** Reads the rows of a chunk. */
import { SentvecError } from '@sentvec/core';
import type { ByteChunk, CorpusChunk } from '../chunk.ts';
import { inspectInput } from '../inputs/inspect-input.ts';
import type { CorpusOptions } from '../request.ts';
import { readByteRange } from './byte-range.ts';
import { decodeRows } from './decode.ts';
import { readParquetRows } from './parquet.ts';
import { rejectRow, type RejectedRow } from './rejected-row.ts';
import { createRowScanner, withoutTerminator } from './row-scanner.ts';
import { takeRow, type Row, type RowFields, type RowPosition } from './row.ts';
import { fieldsOf } from './split-input.ts';

/** The most bytes of a row that is read. A larger one is rejected unread. */
export const maxRowBytes: number = 64 * 1024 * 1024;

/** The rows of a chunk that can be embedded, and those that cannot, each in order. */
export interface ChunkRows {
  readonly rows: readonly Row[];
  readonly rejectedRows: readonly RejectedRow[];
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
  const all =
    format === 'parquet'
      ? await readParquetChunk(chunk, fields)
      : await readByteChunk({ ...chunk, format }, split, fields);
  const rows: Row[] = [];
  const rejectedRows: RejectedRow[] = [];
  for (const row of all) {
    if ('code' in row) rejectedRows.push(row);
    else rows.push(row);
  }
  return { rows, rejectedRows };
}

async function readParquetChunk(chunk: CorpusChunk, fields: RowFields): Promise<(Row | RejectedRow)[]> {
  const { start, end } = chunk;
  const records = await readParquetRows(chunk.input, chunk.path, { start, end, columns: fieldsOf(fields) });
  return records.map((record, index) => takeRow(record, positionOf(chunk, index), fields));
}

async function readByteChunk(
  chunk: ByteChunk,
  split: CorpusOptions['split'],
  fields: RowFields,
): Promise<(Row | RejectedRow)[]> {
  const size = chunk.end - chunk.start;
  if (size > maxRowBytes) {
    const reason = `The row has ${size} bytes; at most ${maxRowBytes} are read.`;
    return [rejectRow(positionOf(chunk, 0, chunk.firstLine), 'too-long', reason)];
  }
  const found = findRows(await readByteRange(chunk.path, chunk.start, chunk.end), chunk, split);
  const encoding = { format: chunk.format, split, textField: fields.textField, columns: await columnsOf(chunk) };
  const decoded = decodeRows(
    found.map(({ bytes }) => bytes),
    encoding,
  );
  return decoded.map((row, index) => {
    const position = positionOf(chunk, index, found[index]!.line);
    return 'record' in row ? takeRow(row.record, position, fields) : rejectRow(position, row.code, row.reason);
  });
}

function positionOf(chunk: CorpusChunk, index: number, line?: number): RowPosition {
  return { file: chunk.input, inputRow: chunk.firstInputRow + index, line, row: chunk.firstRow + index };
}

/** The columns of a chunk of CSV. */
async function columnsOf({ format, input, path, end }: ByteChunk): Promise<readonly string[] | undefined> {
  if (format !== 'csv' && format !== 'tsv') return undefined;
  return (await inspectInput(input, { path, bytes: end }, format)).columns;
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
  if (rows.length !== chunk.rows) {
    const message = `${chunk.input} has changed since it was planned. Start again with a file that stays as it is.`;
    throw new SentvecError('invalid-corpus', message, { file: chunk.input });
  }
  return rows;
}
