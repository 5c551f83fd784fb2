/**
 * Finds where the rows of a file begin and end, in a stream of its bytes: lines, paragraphs, records of CSV. Splitting a
 * file into chunks and reading a chunk use the same scanner, so that both see the same rows.
 */
import { SentvecError } from '@sentvec/core';
import type { ByteFormat, CorpusOptions } from '../request.ts';

/**
 * Called for each row: the bytes from `start` to `next`, its line terminator included, and the line on which it begins,
 * from 1.
 */
export type OnRow = (start: number, next: number, line: number) => void;

/** Finds rows in blocks of bytes. Offsets count from the position that the scanner was made with. */
export interface RowScanner {
  push(block: Buffer): void;
  /**
   * The stream has ended.
   * @returns the line on which a quote was opened that nothing closes
   */
  end(): number | undefined;
}

/** Where a scanner begins. */
export interface ScanStart {
  readonly position: number;
  readonly line: number;
}

/** The text between the fields of a format of CSV's kind, one byte. */
export const delimiters = { csv: ',', tsv: '\t' } as const;

/** The scanner that finds the rows of a format. */
export function createRowScanner(
  format: ByteFormat,
  split: CorpusOptions['split'],
  start: ScanStart,
  onRow: OnRow,
): RowScanner {
  if (format === 'jsonl') return lineScanner(start, onRow, { skipBlank: true });
  if (format === 'csv' || format === 'tsv') return csvScanner(start, onRow, delimiters[format].charCodeAt(0));
  return split === 'line' ? lineScanner(start, onRow, { skipBlank: false }) : paragraphScanner(start, onRow);
}

/** The error for a quote of CSV that nothing closes. */
export function unclosedQuoteError(file: string, line: number): SentvecError {
  const message = `${file}: the quote that opens a field on line ${line} is never closed. Close it, or double it if it is part of the text.`;
  return new SentvecError('invalid-corpus', message, { file, line });
}

const newline = 10;
const carriageReturn = 13;
const quote = 34;

/** Rows are lines. The last newline makes no row. With `skipBlank`, a line of white space makes none either. */
function lineScanner(start: ScanStart, onRow: OnRow, options: { readonly skipBlank: boolean }): RowScanner {
  return rawLineScanner(start, (from, next, line, blank) => {
    if (!(blank && options.skipBlank)) onRow(from, next, line);
  });
}

/** Rows are paragraphs: lines up to a blank one. */
function paragraphScanner(start: ScanStart, onRow: OnRow): RowScanner {
  let open: { start: number; line: number; next: number } | undefined;
  const close = (): void => {
    if (open) onRow(open.start, open.next, open.line);
    open = undefined;
  };
  const lines = rawLineScanner(start, (from, next, line, blank) => {
    if (blank) return close();
    open ??= { start: from, line, next };
    open.next = next;
  });
  return {
    push: (block) => lines.push(block),
    end: () => {
      lines.end();
      close();
      return undefined;
    },
  };
}

function rawLineScanner(
  { position, line }: ScanStart,
  onLine: (start: number, next: number, line: number, blank: boolean) => void,
): RowScanner {
  let lineStart = position;
  let blank = true;
  const closeLine = (next: number): void => {
    onLine(lineStart, next, line, blank);
    lineStart = next;
    line += 1;
    blank = true;
  };
  return {
    push(block) {
      for (let from = 0; from < block.length;) {
        const at = block.indexOf(newline, from);
        const end = at === -1 ? block.length : at;
        blank &&= isBlank(block, from, end);
        if (at !== -1) closeLine(position + at + 1);
        from = end + 1;
      }
      position += block.length;
    },
    end() {
      if (position > lineStart) closeLine(position);
      return undefined;
    },
  };
}

function isBlank(block: Buffer, from: number, end: number): boolean {
  for (let at = from; at < end; at += 1) if (!isSpace(block[at]!)) return false;
  return true;
}

/** Space, tab, carriage return, vertical tab, form feed. */
function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13);
}

/** Where in a record of CSV a byte stands. */
const fieldStart = 0;
const unquoted = 1;
const quoted = 2;
/** Behind a quote within a quoted field: either it ends the field, or a second quote follows and both mean one. */
const quoteInQuoted = 3;

/**
 * Rows are records of CSV (RFC 4180), whose quoted fields may hold newlines. A quote opens a field only at its start.
 * Blank lines are no rows.
 */
function csvScanner({ position, line }: ScanStart, onRow: OnRow, delimiter: number): RowScanner {
  let recordStart = position;
  let recordLine = line;
  let quoteLine = line;
  let state = fieldStart;
  let blank = true;
  const closeRecord = (next: number): void => {
    if (!blank) onRow(recordStart, next, recordLine);
    recordStart = next;
    recordLine = line;
    state = fieldStart;
    blank = true;
  };
  return {
    push(block) {
      for (let at = 0; at < block.length; at += 1) {
        const byte = block[at]!;
        if (byte === newline) {
          line += 1;
          if (state !== quoted) closeRecord(position + at + 1);
          continue;
        }
        if (byte !== carriageReturn) blank = false;
        if (state === quoted) {
          if (byte === quote) state = quoteInQuoted;
        } else if (byte === delimiter) {
          state = fieldStart;
        } else if (byte === quote && state !== unquoted) {
          if (state === fieldStart) quoteLine = line;
          state = quoted;
        } else {
          state = unquoted;
        }
      }
      position += block.length;
    },
    end() {
      const unclosed = state === quoted ? quoteLine : undefined;
      if (position > recordStart) closeRecord(position);
      return unclosed;
    },
  };
}

/** The bytes of a row without its line terminator. */
export function withoutTerminator(bytes: Buffer): Buffer {
  let end = bytes.length;
  if (bytes[end - 1] === newline) end -= 1;
  if (bytes[end - 1] === carriageReturn) end -= 1;
  return bytes.subarray(0, end);
}
