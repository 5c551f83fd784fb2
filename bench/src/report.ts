// What the commands of the bench print: tables for people; or, for other programs, the same tables as JSON with the
// numbers that they were made from.
import { availableParallelism, cpus } from 'node:os';

/** A table; each row has as many cells as the header. */
export interface BenchTable {
  readonly title?: string | undefined;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What a command of the bench measured. */
export interface BenchReport {
  /** How it was measured, in a few words: "medians of 5 rounds". */
  readonly method: string;
  readonly tables: readonly BenchTable[];
  /** The numbers behind the tables. */
  readonly results: unknown;
}

/** The JSON that a command prints with `--json`. */
export interface PrintedReport extends BenchReport {
  readonly machine: string;
}

/** Prints a report on standard output, as Markdown or as JSON. */
export function printReport(report: BenchReport, json: boolean): void {
  const machine = describeMachine();
  const printed: PrintedReport = { machine, ...report };
  process.stdout.write(
    json
      ? `${JSON.stringify(printed, undefined, 2)}\n`
      : `${machine}; ${report.method}\n\n${report.tables.map(inMarkdown).join('\n\n')}\n`,
  );
}

/** Describes the machine in one line. */
export function describeMachine(): string {
  return `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${availableParallelism()} cores, Node ${process.versions.node}`;
}

/** A table, with its title above it. */
export function inMarkdown({ title, header, rows }: BenchTable): string {
  const table = markdownTable(header, rows);
  return title === undefined ? table : `${title}\n\n${table}`;
}

function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
