/** A column of a table. */
export interface Column {
  readonly title: string;
  /**
   * `right` for numbers.
   * @default 'left'
   */
  readonly align?: 'left' | 'right' | undefined;
}

/** Renders a table with a line of titles and two spaces between columns. Cells must be single lines. */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, column) => Math.max(...lines.map((line) => Array.from(line[column]!).length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => {
          const filling = ' '.repeat(widths[column]! - Array.from(cell).length);
          return columns[column]!.align === 'right' ? filling + cell : cell + filling;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Shortens a text to one line of at most `length` characters. Control characters become spaces. */
export function excerpt(text: string, length: number): string {
  const line = text.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
  const characters = Array.from(line.slice(0, length * 2));
  return characters.length <= length
    ? line
    : `${characters
        .slice(0, length - 1)
        .join('')
        .trimEnd()}…`;
}

/** Width of the terminal in characters; 100 if standard output is not a terminal. */
export function outputWidth(): number {
  return process.stdout.columns ?? 100;
}
