/** Streams the rows of a file that is read from beginning to end. */
import { SentvecError } from '@sentvec/core';
import { byteOrderMark } from '../inputs/input-format.ts';
import type { ByteFormat } from '../request.ts';
import { maxRowBytes } from './content-hash.ts';
import { createRowScanner, unclosedQuoteError, withoutTerminator, type LineEnd } from './row-scanner.ts';

/** The bytes of a row without line terminator, and the number of its first line, from 1. */
export interface StreamedRow {
  readonly bytes: Buffer;
  readonly line: number;
}

/**
 * Yields the rows of a stream in order, in groups of one or more rows. Memory: one row and one block.
 *
 * @throws SentvecError `invalid-corpus` for a quote that is never closed, or a row that is too long
 */
export async function* streamRows(
  file: string,
  format: ByteFormat,
  lineEnd: LineEnd,
  blocks: AsyncIterable<Buffer>,
): AsyncGenerator<readonly StreamedRow[], void> {
  const found: { readonly start: number; readonly next: number; readonly line: number }[] = [];
  const scanner = createRowScanner(format, 'line', lineEnd, { position: 0, line: 1 }, (start, next, line) =>
    found.push({ start, next, line }),
  );
  // The bytes from `position` on: the beginning of a row that is not complete yet.
  let pending: Buffer[] = [];
  let position = 0;
  const take = (): StreamedRow[] => {
    const bytes = Buffer.concat(pending);
    const rows = found.splice(0).map(({ start, next, line }) => {
      return { bytes: withoutTerminator(bytes.subarray(start - position, next - position)), line, next };
    });
    const end = rows.at(-1)!.next;
    pending = [bytes.subarray(end - position)];
    position = end;
    return rows;
  };
  let first = true;
  for await (const whole of blocks) {
    const block = first && whole.subarray(0, 3).equals(byteOrderMark) ? whole.subarray(3) : whole;
    first = false;
    scanner.push(block);
    pending.push(block);
    if (found.length > 0) yield take();
    if (pending.reduce((sum, { byteLength }) => sum + byteLength, 0) > maxRowBytes) throw rowTooLongError(file);
  }
  const unclosed = scanner.end();
  if (unclosed !== undefined) throw unclosedQuoteError(file, unclosed);
  if (found.length > 0) yield take();
}

function rowTooLongError(file: string): SentvecError {
  const message = `${file} has a row of more than ${maxRowBytes} bytes. Is it in the format that its name says?`;
  return new SentvecError('invalid-corpus', message, { file });
}
