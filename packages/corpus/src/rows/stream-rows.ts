/** Finds the rows of a stream of bytes, for files that are read from beginning to end. */
import { SentvecError } from '@sentvec/core';
import type { ByteFormat } from '../request.ts';
import { byteOrderMark } from '../sources/inspect.ts';
import { largestRow, withoutTerminator, type RawRow } from './read-bytes.ts';
import { scannerOf, unclosedQuoteError } from './scanner-of.ts';

/**
 * The rows of a stream in order, as many at a time as a block of it completes, at least one. Holds one row and one block.
 *
 * @throws SentvecError `invalid-corpus` for a quote that nothing closes and for a row of more than {@link largestRow} bytes
 */
export async function* streamRows(
  file: string,
  format: ByteFormat,
  blocks: AsyncIterable<Buffer>,
): AsyncGenerator<readonly RawRow[], void> {
  const found: { readonly start: number; readonly next: number; readonly line: number }[] = [];
  const scanner = scannerOf(format, 'line', { position: 0, line: 1 }, (start, next, line) =>
    found.push({ start, next, line }),
  );
  // The bytes from `position` on, which belong to rows that are not complete.
  let pending: Buffer[] = [];
  let position = 0;
  const take = (): RawRow[] => {
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
    const size = pending.reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (size > largestRow) throw tooLongError(file);
  }
  const unclosed = scanner.end();
  if (unclosed !== undefined) throw unclosedQuoteError(file, unclosed);
  if (found.length > 0) yield take();
}

function tooLongError(file: string): SentvecError {
  const message = `${file} has a row of more than ${largestRow} bytes. Is it in the format that its name says?`;
  return new SentvecError('invalid-corpus', message, { file });
}
