// Runs all benchmarks sequentially and writes their results to one JSON file, from which scripts/speed-page.mjs
// generates the page "Speed" of the docs.
import { spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileAtomically } from '@sentvec/platform/node';
import { describeMachine, type PrintedReport } from './report.ts';
import { resultsFolder, speedPage, speedPageFile, type BenchResults, type PartResult } from './speed-page.ts';

/** A benchmark, and how to run it. */
interface Part {
  /** `pnpm bench NAME`. */
  readonly name: string;
  readonly title: string;
  readonly program: string;
  readonly options?: readonly string[];
  /** Options of `pnpm bench all` that are passed on to this benchmark. */
  readonly passed?: readonly ('rounds' | 'python' | 'fastembed')[];
}

const parts: readonly Part[] = [
  { name: 'embed', title: 'Corpora in float32', program: 'main.js', passed: ['rounds', 'python', 'fastembed'] },
  { name: 'int8', title: 'Corpora in int8', program: 'int8.js', passed: ['rounds', 'python'] },
  { name: 'latency', title: 'One query', program: 'latency.js', passed: ['rounds'] },
  { name: 'callers', title: 'Many callers', program: 'callers.js', passed: ['rounds'] },
  { name: 'load', title: 'Start', program: 'load.js', passed: ['rounds'] },
  { name: 'long-texts', title: 'Long texts', program: 'long-texts.js', passed: ['rounds', 'python'] },
  { name: 'static', title: 'Static models', program: 'static.js', passed: ['rounds'] },
  { name: 'tfjs', title: 'WebAssembly', program: 'tfjs.js', passed: ['rounds'] },
  { name: 'rerank', title: 'Reranking', program: 'rerank.js', passed: ['rounds'] },
  { name: 'late-interaction', title: 'Late interaction', program: 'late-interaction.js', options: ['--no-quality'] },
  { name: 'sparse-index', title: 'Sparse search', program: 'sparse-index.js' },
  {
    name: 'approximate',
    title: 'Approximate search',
    program: 'approximate.js',
    options: ['--rows', '100000'],
  },
  { name: 'training', title: 'Training', program: 'training.js', passed: ['python'] },
  { name: 'queue', title: 'Through Redis', program: 'queue.js', passed: ['rounds'] },
  { name: 'nightly', title: 'A corpus of which 1 % changed', program: 'nightly.js' },
  { name: 'event-loop', title: 'The event loop meanwhile', program: 'event-loop.js' },
  { name: 'memory', title: 'Memory', program: 'memory.js', options: ['--rows', '200000'] },
];

const usage = `pnpm bench all [--only NAME,NAME] [--output FILE] [--rounds N] [--python COMMAND] [--fastembed FOLDER]

Runs all benchmarks sequentially, which takes about 30 minutes on 2 cores, and writes their results as JSON. The file is written after each benchmark, so that a stopped run loses only one. Without --output, the page "Speed" of the docs is written too. Existing results in the file are kept for benchmarks that do not run.
--only       some parts: ${parts.map(({ name }) => name).join(', ')}
--output     default: bench/results/DATE.json
--rounds     rounds of each part that has rounds; default: its own
--python     a command that starts a Python with torch and transformers: "python3", "chroot /opt/py python3"
--fastembed  a folder with node_modules/fastembed
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    output: { type: 'string' },
    rounds: { type: 'string' },
    python: { type: 'string' },
    fastembed: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main(values.only?.split(',') ?? parts.map(({ name }) => name));

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter((name) => !parts.some((part) => part.name === name));
  if (unknown.length > 0) throw new Error(`--only: unknown benchmark ${unknown.join(', ')}.\n\n${usage}`);
  const date = new Date().toISOString().slice(0, 10);
  const file = values.output ?? join(resultsFolder, `${date}.json`);
  await mkdir(dirname(file), { recursive: true });
  const results = new Map((await earlierParts(file)).map((part) => [part.name, part]));
  for (const part of parts.filter(({ name }) => names.includes(name))) {
    process.stderr.write(`\n${part.title} (pnpm bench ${part.name})\n`);
    results.set(part.name, await run(part));
    const inOrder = parts.flatMap(({ name }) => results.get(name) ?? []);
    const whole: BenchResults = { date, machine: describeMachine(), parts: inOrder };
    await writeFileAtomically(file, `${JSON.stringify(whole, undefined, 2)}\n`);
  }
  process.stderr.write(`\nwritten: ${file}\n`);
  if (values.output !== undefined) return;
  await writeFileAtomically(speedPageFile, await speedPage());
  process.stderr.write(`written: ${speedPageFile}\n`);
}

async function earlierParts(file: string): Promise<readonly PartResult[]> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  return text === undefined ? [] : (JSON.parse(text) as BenchResults).parts;
}

/** Runs one benchmark. @throws Error if it fails */
async function run({ name, title, program, options = [], passed = [] }: Part): Promise<PartResult> {
  const started = performance.now();
  const more = passed.flatMap((option) => (values[option] === undefined ? [] : [`--${option}`, values[option]]));
  const command = [join(import.meta.dirname, program), ...options, ...more, '--json'];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (bytes: Buffer) => (printed += bytes.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`pnpm bench ${name} exited with code ${code}.`);
  const seconds = Math.round((performance.now() - started) / 1000);
  // A benchmark that cannot run on this machine prints the reason and exits with 0.
  if (!printed.startsWith('{')) return { name, title, seconds, skipped: printed.trim() };
  return { name, title, seconds, ...(JSON.parse(printed) as PrintedReport) };
}
