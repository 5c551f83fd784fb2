// The memory of `sentvec embed` while it embeds a large corpus: it must not grow with the rows that are done.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { goldenPath } from '@sentvec/testing';
import { printReport } from './report.ts';

const usage = `pnpm bench memory [--rows N] [--model FOLDER] [--json]

Embeds a corpus with \`sentvec embed\` and prints the memory of the process every 50,000 rows. Linux only.
--rows   default 1,000,000
--model  default: the tiny BERT of the tests
--json   print JSON
`;

const step = 50_000;
/** Rows of a chunk: the default of \`sentvec embed\`. */
const chunkRows = 2048;

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    model: { type: 'string', default: goldenPath('models/tiny-bert') },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main(Number(values.rows), values.model);

async function main(rows: number, model: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sentvec-memory-'));
  try {
    const input = join(folder, 'corpus.jsonl');
    await pipeline(Readable.from(lines(rows)), createWriteStream(input));
    const measured = await watch(input, join(folder, 'vectors'), model);
    const [first, last] = [measured[0], measured.at(-1)];
    if (first === undefined || last === undefined || measured.length < 2)
      throw new Error(`--rows must be at least ${2 * step}, not ${rows}.`);
    const table = {
      header: ['rows', `at row ${step}`, 'at the end', 'times as much'],
      rows: [[String(rows), megabytes(first), megabytes(last), (last / first).toFixed(2)]],
    };
    const results = { rows, bytes: measured };
    printReport({ method: 'memory of `sentvec embed`', tables: [table], results }, values.json);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs the command. @returns resident memory in bytes after every `step` rows, and shortly before the end */
async function watch(input: string, output: string, model: string): Promise<number[]> {
  const cli = fileURLToPath(new URL('../../packages/cli/bin/sentvec.mjs', import.meta.url));
  const command = [cli, 'embed', input, '--model', model, '--output', output];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'ignore', 'inherit'] });
  const code = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const measured: number[] = [];
  const started = performance.now();
  let last = 0;
  while (child.exitCode === null) {
    await sleep(100);
    const finished = await finishedChunks(output);
    if (finished > 0) last = await residentMemory(child.pid!).catch(() => last);
    const done = finished * chunkRows;
    if (done < (measured.length + 1) * step) continue;
    measured.push(last);
    const seconds = Math.round((performance.now() - started) / 1000);
    process.stderr.write(`row ${measured.length * step}: ${megabytes(last)} after ${seconds} s\n`);
  }
  if ((await code) !== 0) throw new Error('sentvec embed failed.');
  return [...measured, last];
}

/** Returns the number of finished chunks, by counting their records in the output folder. */
async function finishedChunks(output: string): Promise<number> {
  const unfinished = join(output, '.unfinished');
  const [run] = await readdir(unfinished).catch(() => []);
  return run === undefined ? 0 : (await readdir(join(unfinished, run, 'chunks')).catch(() => [])).length;
}

async function residentMemory(pid: number): Promise<number> {
  return 1024 * Number(/VmRSS:\s+(\d+)/u.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}

function* lines(rows: number): Generator<string> {
  for (let row = 0; row < rows; row += 1) {
    const text = `Row ${row} of a corpus: ${'some words that differ in number '.repeat(1 + (row % 5))}`;
    yield `${JSON.stringify({ text })}\n`;
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
