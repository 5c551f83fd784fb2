import { isUtf8 } from 'node:buffer';
import { SentvecError } from '@sentvec/core';
import type { ByteChunk } from '../chunk.ts';
import { readByteRange } from '../files/byte-range.ts';
import type { Rejection } from '../rejection.ts';
import type { CorpusOptions } from '../request.ts';
import { decoderOf } from './decode.ts';
import { reject, takeRow, type Row, type RowFields, type RowPlace } from './row.ts';
import { newline } from './row-scanner.ts';
import { scannerOf } from './scanner-of.ts';

/** A larger row is rejected unread. */
export const largestRow: number = 64 * 1024 * 1024;

/** The bytes of a row, without the line terminator, and the line on which it begins. */
interface RawRow {
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
  const records = raw.map(({ bytes }) => bytes);
  const decode = await decoderOf(chunk, split, fields.textField, records);
  return raw.map(({ bytes, line }, index) => {
    const place = placeOf(chunk, index, line);
    if (!isUtf8(bytes)) return reject(place, 'invalid-utf8', 'The row is not valid UTF-8. Convert the file to UTF-8.');
    const decoded = decode(bytes, index);
    return 'record' in decoded ? takeRow(decoded.record, place, fields) : reject(place, decoded.code, decoded.reason);
  });
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

function withoutTerminator(bytes: Buffer): Buffer {
  let end = bytes.length;
  if (bytes[end - 1] === newline) end -= 1;
  if (bytes[end - 1] === 13) end -= 1;
  return bytes.subarray(0, end);
}
