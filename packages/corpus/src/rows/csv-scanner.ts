import { newline, type OnRow, type RowScanner, type ScanStart } from './row-scanner.ts';

const quote = 34;
const carriageReturn = 13;

/** Where in a record a byte stands. */
const fieldStart = 0;
const unquoted = 1;
const quoted = 2;
/** Behind a quote within a quoted field: either it ends the field, or a second quote follows and both mean one. */
const quoteInQuoted = 3;

/**
 * Rows are records of CSV (RFC 4180), whose quoted fields may hold newlines. A quote opens a field only at its start.
 * Blank lines are no rows.
 */
export function csvScanner({ position, line }: ScanStart, onRow: OnRow, delimiter: number): RowScanner {
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
