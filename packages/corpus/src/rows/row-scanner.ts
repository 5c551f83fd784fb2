/**
 * Called for each row: the bytes from `start` to `next`, its line terminator included, and the line on which it begins,
 * from 1.
 */
export type OnRow = (start: number, next: number, line: number) => void;

/**
 * Finds rows in a stream of bytes. Planning and reading use the same scanner, so that both see the same rows. Offsets
 * count from the position that the scanner was made with.
 */
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

export const newline = 10;

/** Rows are lines. The last newline makes no row. With `skipBlank`, a line of white space makes none either. */
export function lineScanner(start: ScanStart, onRow: OnRow, options: { readonly skipBlank: boolean }): RowScanner {
  return rawLineScanner(start, (from, next, line, blank) => {
    if (!(blank && options.skipBlank)) onRow(from, next, line);
  });
}

/** Rows are paragraphs: lines up to a blank one. */
export function paragraphScanner(start: ScanStart, onRow: OnRow): RowScanner {
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
