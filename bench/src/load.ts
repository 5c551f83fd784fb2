// Measures startup times: to the first vector, of `sentvec --help`, of the self-check of a backend, and of fitting a
// linear probe. Each figure is measured in separate processes (load-worker.ts).
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '@sentvec/core/node';
import type { LoadReport } from './load-worker.ts';
import { models } from './models/index.ts';
import { printReport } from './report.ts';
import { median, timeInTurns, type Timed, roundsOf } from './rounds.ts';

const usage = `pnpm bench load [--rounds N] [--json]

Starts processes in turns, and prints what each took: median, minimum, maximum of the rounds, after one that is not counted.
--rounds   default 9
--json     print JSON
`;

const cli = fileURLToPath(new URL('../../packages/cli/bin/sentvec.mjs', import.meta.url));
const worker = fileURLToPath(new URL('load-worker.js', import.meta.url));

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main(roundsOf(values.rounds));

async function main(rounds: number): Promise<void> {
  const miniLm = await models.find(({ name }) => name.includes('MiniLM'))!.prepare(join(cacheDirectory(), 'bench'));
  const entries: Timed[] = [
    { name: 'start to first vector, onnxruntime', run: () => firstVector('onnx') },
    { name: 'the same without self-check', run: () => firstVector('onnx', 'unchecked') },
    { name: 'the same, MiniLM-L6 size', run: () => firstVector('onnx', miniLm) },
    { name: 'sentvec similarity', run: async () => (await start(cli, 'similarity', 'A cat.', 'A dog.')).spoke },
    { name: 'self-check, onnxruntime', run: () => ownTime('onnx') },
    { name: 'self-check, TensorFlow.js on WebAssembly', run: () => ownTime('tfjs') },
    { name: 'sentvec --help', run: async () => (await start(cli, '--help')).ended },
    { name: 'linear probe, 10,000 × 384, 10 classes', run: () => ownTime('probe') },
  ];
  const results = [...(await timeInTurns(entries, rounds))].map(([name, times]) => ({
    name,
    median: median(times),
    minimum: Math.min(...times),
    maximum: Math.max(...times),
  }));
  const header = ['milliseconds', 'median', 'minimum', 'maximum'];
  const rows = results.map((result) => [
    result.name,
    ...[result.median, result.minimum, result.maximum].map((time) => time.toFixed(0)),
  ]);
  printReport({ method: `${rounds} rounds`, tables: [{ header, rows }], results }, values.json);
}

/** Returns the milliseconds from the start of a process until it reports the first vector. */
async function firstVector(...words: readonly string[]): Promise<number> {
  return (await start(worker, ...words)).spoke;
}

/** Returns the milliseconds that a process has measured itself. */
async function ownTime(...words: readonly string[]): Promise<number> {
  const { printed } = await start(worker, ...words);
  return (JSON.parse(printed) as LoadReport).milliseconds;
}

/** Runs a program. @returns what it printed, and the milliseconds until it began to print and until it ended */
async function start(...command: readonly string[]): Promise<{ printed: string; spoke: number; ended: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  let spoke = NaN;
  let printed = '';
  child.stdout.on('data', (bytes: Buffer) => {
    if (printed === '') spoke = performance.now() - started;
    printed += bytes.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${command.join(' ')} exited with code ${code}.`);
  return { printed, spoke, ended: performance.now() - started };
}
