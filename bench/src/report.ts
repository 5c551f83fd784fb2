import { availableParallelism, cpus } from 'node:os';
import type { Measurement } from './measure.ts';

/** The machine, in a line. */
export function describeMachine(): string {
  return `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${availableParallelism()} cores, Node ${process.versions.node}`;
}

/** The measurements as a table in Markdown. */
export function table(measurements: readonly Measurement[]): string {
  const header = [
    'model',
    'workload',
    'texts',
    'tokens',
    'candidate',
    'texts/s',
    'sentvec is',
    'largest difference',
    'of bare products',
  ];
  const cells = measurements.flatMap(({ model, workload, texts, tokens, candidates, bare }) =>
    candidates.map(({ name, textsPerSecond, ratio, difference }, index) => [
      ...(index === 0 ? [model, workload, String(texts), String(tokens)] : ['', '', '', '']),
      name,
      textsPerSecond.toFixed(1),
      index === 0 ? '' : `${ratio.toFixed(2)} × as fast`,
      index === 0 ? '' : difference.toExponential(1),
      index === 0 && bare ? `${bare.percent.toFixed(0)} % of ${bare.gigaflops.toFixed(0)} GFLOP/s` : '',
    ]),
  );
  return markdownTable(header, cells);
}

/** A table in Markdown. */
export function markdownTable(header: readonly string[], cells: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...cells.map(line)].join('\n');
}
