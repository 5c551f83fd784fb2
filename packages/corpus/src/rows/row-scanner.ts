/**
 * Finds the rows (lines, paragraphs or CSV records) in a stream of bytes. Splitting a file into chunks and reading a
 * chunk use the same scanner, so that both find the same rows.
 */
import { SentvecError } from '@sentvec/core';
import type { ByteFormat, CorpusOptions } from '../request.ts';

/**
 * Called for each row, with the offsets of its first byte and of the next row (the line terminator belongs to the row),
 * and with the line number of its first line, from 1.
 */
export type OnRow = (start: number, next: number, line: number) => void;

/** Finds rows in blocks of bytes. Offsets include the start position of the scanner. */
export interface RowScanner {
  push(block: Buffer): void;
  /**
   * Call it at the end of the stream.
   * @returns the line of an opening quote that is never closed, if there is one, if there is one
   */
  end(): number | undefined;
}

/** The start position of a scanner. */
export interface ScanStart {
  readonly position: number;
  readonly line: number;
}

/** The line terminator of a file. `lf`: LF or CRLF. `cr`: also a lone CR, as in files of classic Mac OS. */
export type LineEnd = 'lf' | 'cr';

/** The delimiter of the fields of a row: one byte. */
export const delimiters = { csv: ',', tsv: '\t' } as const;

/** Creates the scanner of a format. */
export function createRowScanner(
  format: ByteFormat,
  split: CorpusOptions['split'],
  lineEnd: LineEnd,
  start: ScanStart,
  onRow: OnRow,
): RowScanner {
  const scanner = createLineFeedScanner(format, split, start, onRow);
  return lineEnd === 'lf' ? scanner : withCarriageReturns(scanner);
}

function createLineFeedScanner(
  format: ByteFormat,
  split: CorpusOptions['split'],
  start: ScanStart,
  onRow: OnRow,
): RowScanner {
  if (format === 'jsonl') return lineScanner(start, onRow, { skipBlank: true });
  if (format === 'csv' || format === 'tsv') return csvScanner(start, onRow, delimiters[format].charCodeAt(0));
  return split === 'line' ? lineScanner(start, onRow, { skipBlank: false }) : paragraphScanner(start, onRow);
}

/** The error for a CSV quote that is never closed. */
export function unclosedQuoteError(file: string, line: number): SentvecError {
  const message = `${file}: the quote that opens a field on line ${line} is never closed. Close it, or double it if it is part of the text.`;
  return new SentvecError('invalid-corpus', message, { file, line });
}

const newline = 10;
const carriageReturn = 13;
const quote = 34;

/**
 * Rows are lines. There is no row after the last newline. With `skipBlank`, lines of white space are no rows either.
 */
function lineScanner(start: ScanStart, onRow: OnRow, options: { readonly skipBlank: boolean }): RowScanner {
  return rawLineScanner(start, (from, next, line, blank) => {
    if (!(blank && options.skipBlank)) onRow(from, next, line);
  });
}

/** Rows are paragraphs: lines up to a blank line. */
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

/** Wraps a scanner so that a lone CR also ends a line, by replacing it with LF. */
function withCarriageReturns(scanner: RowScanner): RowScanner {
  // A CR at the end of a block: the next byte decides whether it is part of a CRLF.
  let pending = Buffer.alloc(0);
  return {
    push(block) {
      const bytes = Buffer.concat([pending, block]);
      const isOpen = bytes.at(-1) === carriageReturn;
      for (let at = bytes.indexOf(carriageReturn); at !== -1; at = bytes.indexOf(carriageReturn, at + 1)) {
        if (at + 1 < bytes.length && bytes[at + 1] !== newline) bytes[at] = newline;
      }
      pending = Buffer.from(isOpen ? [carriageReturn] : []);
      scanner.push(isOpen ? bytes.subarray(0, -1) : bytes);
    },
    end() {
      if (pending.length > 0) scanner.push(Buffer.from([newline]));
      return scanner.end();
    },
  };
}

/** States of the CSV scanner. */
const fieldStart = 0;
const unquoted = 1;
const quoted = 2;
/**
 * After a quote within a quoted field: it ends the field, or it is the first of two quotes that mean a literal quote.
 */
const quoteInQuoted = 3;

/**
 * Rows are records of CSV (RFC 4180). Quoted fields may contain newlines. A quote opens a quoted field only at the
 * start of the field. Blank lines are no rows.
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

/**
 * Detects the line terminator from the first bytes of a file. A lone CR may also be part of a text, so `cr` needs
 * evidence: there is no LF and, for JSON lines, there are objects before and after the CR, for plain text, there are
 * several CRs.
 */
export function recogniseLineEnd(format: ByteFormat, head: Buffer): LineEnd {
  if (format === 'csv' || format === 'tsv') return recogniseCsvLineEnd(head, delimiters[format].charCodeAt(0));
  if (head.includes(newline)) return 'lf';
  const text = head.toString('latin1');
  const isEvident = format === 'jsonl' ? /\}[ \t]*\r[ \t]*\{/.test(text) : text.split('\r').length > 3;
  return isEvident ? 'cr' : 'lf';
}

/**
 * For CSV: if both lone CR and LF occur near the start outside of quotes, CR ends records if all parts up to the first
 * LF, and the line after it, have the same number of fields.
 */
function recogniseCsvLineEnd(head: Buffer, delimiter: number): LineEnd {
  const fields = [1];
  let isQuoted = false;
  let lineFeeds = 0;
  for (let at = 0; at < head.length && lineFeeds < 2; at += 1) {
    const byte = head[at]!;
    if (byte === quote) isQuoted = !isQuoted;
    if (isQuoted) continue;
    if (byte === delimiter) fields[fields.length - 1]! += 1;
    const isAlone = byte === carriageReturn && head[at + 1] !== newline;
    if (byte === newline) lineFeeds += 1;
    if (lineFeeds === 1 && byte === newline && fields.length === 1) return 'lf';
    if ((isAlone || (byte === newline && lineFeeds === 1)) && at + 1 < head.length) fields.push(1);
  }
  return fields.length > 1 && (lineFeeds === 0 || fields.every((count) => count === fields[0])) ? 'cr' : 'lf';
}
