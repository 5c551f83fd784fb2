import { SentvecError } from '@sentvec/core';
import type { ByteChunk } from '../chunk.ts';
import { readByteRange } from '../files/byte-range.ts';
import type { Rejection } from '../rejection.ts';
import type { CorpusOptions } from '../request.ts';
import { inspectSource } from '../sources/inspect.ts';
import { decodeRows } from './decode.ts';
import { reject, takeRow, type Row, type RowFields, type RowPlace } from './row.ts';
import { newline } from './row-scanner.ts';
import { scannerOf } from './scanner-of.ts';

/** A larger row is rejected unread. */
export const largestRow: number = 64 * 1024 * 1024;

/** The bytes of a row, without the line terminator, and the line on which it begins, from 1. */
export interface RawRow {
  readonly bytes: Buffer;
  readonly line: number;
}

/**
 * Reads the rows of a chunk whose rows are ranges of bytes.
 *
 * @throws SentvecError `invalid-corpus` when the file has changed since it was planned, `io-failed`
 */
export async function readByteRows(
  chunk: ByteChunk,
  split: CorpusOptions['split'],
  fields: RowFields,
): Promise<(Row | Rejection)[]> {
  const size = chunk.end - chunk.start;
  if (size > largestRow) {
    return [
      reject(
        placeOf(chunk, 0, chunk.firstLine),
        'too-long',
        `The row has ${size} bytes; at most ${largestRow} are read.`,
      ),
    ];
  }
  const raw = findRows(await readByteRange(chunk.path, chunk.start, chunk.end), chunk, split);
  const columns = await columnsOf(chunk);
  const encoding = { format: chunk.format, split, textField: fields.textField, columns };
  const decoded = decodeRows(
    raw.map(({ bytes }) => bytes),
    encoding,
  );
  return decoded.map((row, index) => {
    const place = placeOf(chunk, index, raw[index]!.line);
    return 'record' in row ? takeRow(row.record, place, fields) : reject(place, row.code, row.reason);
  });
}

/** The columns of a chunk of CSV. */
async function columnsOf({ format, source, path, end }: ByteChunk): Promise<readonly string[] | undefined> {
  if (format !== 'csv' && format !== 'tsv') return undefined;
  return (await inspectSource(source, { path, bytes: end }, format)).columns;
}

function placeOf(chunk: ByteChunk, index: number, line: number): RowPlace {
  return { file: chunk.source, sourceRow: chunk.firstSourceRow + index, line, row: chunk.firstRow + index };
}

function findRows(buffer: Buffer, chunk: ByteChunk, split: CorpusOptions['split']): RawRow[] {
  const rows: RawRow[] = [];
  const scanner = scannerOf(chunk.format, split, { position: 0, line: chunk.firstLine }, (start, next, line) => {
    rows.push({ bytes: withoutTerminator(buffer.subarray(start, next)), line });
  });
  scanner.push(buffer);
  scanner.end();
  if (rows.length !== chunk.rows) {
    const message = `${chunk.source} has changed since it was planned. Start again with a file that stays as it is.`;
    throw new SentvecError('invalid-corpus', message, { file: chunk.source });
  }
  return rows;
}

export function withoutTerminator(bytes: Buffer): Buffer {
  let end = bytes.length;
  if (bytes[end - 1] === newline) end -= 1;
  if (bytes[end - 1] === 13) end -= 1;
  return bytes.subarray(0, end);
}
