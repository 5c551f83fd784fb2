// Generates the page "Speed" of the docs from the newest results of `pnpm bench all`.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inMarkdown, type PrintedReport } from './report.ts';

/** The output of a benchmark, or the reason why it did not run. */
export type PartResult = { readonly name: string; readonly title: string; readonly seconds: number } & (
  | PrintedReport
  | { readonly skipped: string }
);

/** The content of a file in `bench/results/`. */
export interface BenchResults {
  /** Date of the run, such as 2026-11-29. */
  readonly date: string;
  readonly machine: string;
  readonly parts: readonly PartResult[];
}

/** The folder of the results, with one file per date. */
export const resultsFolder: string = fileURLToPath(new URL('../results/', import.meta.url));

/** The path of the page. */
export const speedPageFile: string = fileURLToPath(new URL('../../apps/docs/guide/speed.md', import.meta.url));

/** Generates the page from the newest results. */
export async function speedPage(): Promise<string> {
  const files = (await readdir(resultsFolder)).filter((name) => name.endsWith('.json')).toSorted();
  const file = files.at(-1)!;
  const results = JSON.parse(await readFile(join(resultsFolder, file), 'utf8')) as BenchResults;
  return [introduction(results, file), ...results.parts.map(section)].join('\n');
}

function introduction({ date, machine }: BenchResults, file: string): string {
  return `# Speed

Measured on ${date}: ${machine}. \`pnpm bench all\` made this page; the numbers behind the tables are in \`bench/results/${file}\`.

All candidates of a table run in the same minutes, in turns, so that a slow moment of the machine slows all of them. Compare the
ratios: the times themselves depend on the machine. \`bench/README.md\` says how each part is measured.
`;
}

function section(part: PartResult): string {
  const heading = `## ${part.title}\n\n`;
  if ('skipped' in part) return `${heading}Not run: ${part.skipped}\n`;
  const command = `\`pnpm bench${part.name === 'embed' ? '' : ` ${part.name}`}\``;
  return `${heading}${command}; ${part.method}.\n\n${part.tables.map(inMarkdown).join('\n\n')}\n`;
}
