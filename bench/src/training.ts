import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { Random } from '@sentvec/training';
import { miniLm } from './models/mini-lm.ts';
import { describeMachine } from './report.ts';
import type { Answer, StepRequest } from './training-step.ts';

/** A training step to time: `pairs` pairs of texts of `length` tokens. */
interface TrainingCase {
  readonly name: string;
  readonly model: () => Promise<string>;
  /** CosineSimilarityLoss with labels, MultipleNegativesRankingLoss without. */
  readonly labelled: boolean;
  readonly pairs: number;
  /** Tokens of each text, by its number. */
  readonly length: (random: Random) => number;
}

interface Measured extends Answer {
  /** The most that the process held at once, in megabytes. */
  readonly peak: number;
}

const defaultModel = async () => (await useLite()).directory;
const miniLmModel = () => miniLm.prepare(join(cacheDirectory(), 'bench'));
const cases: readonly TrainingCase[] = [
  {
    name: 'default model, 64 texts of 32 tokens',
    model: defaultModel,
    labelled: false,
    pairs: 32,
    length: () => 32,
  },
  {
    name: 'MiniLM size, 64 texts of 32 tokens',
    model: miniLmModel,
    labelled: false,
    pairs: 32,
    length: () => 32,
  },
  {
    name: 'MiniLM size, 64 pairs of 32 tokens',
    model: miniLmModel,
    labelled: false,
    pairs: 64,
    length: () => 32,
  },
  {
    name: 'default model, 16 pairs of 6 to 26 tokens',
    model: defaultModel,
    labelled: true,
    pairs: 16,
    length: (random) => 6 + random.below(21),
  },
];

const help = `pnpm bench training [--python COMMAND]

Times training steps, each candidate in a process of its own, and prints the peaks of their memory.
--python  a Python that has PyTorch; default: Debian's, where python3-torch is installed
`;
const { values: chosen } = parseArgs({
  options: { python: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
});
if (chosen.help) {
  console.log(help);
  process.exit();
}

const steps = 8;
const warmUp = 2;
const threads = availableParallelism();

/**
 * The same steps in a process of its own, which reads the request and writes its answer; and the peak of its memory.
 */
async function inProcess(command: string, script: string, request: StepRequest): Promise<Measured> {
  const child = spawn(command, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, residentMegabytes(child.pid!))), 100);
  child.stdin.write(`${JSON.stringify(request)}\n`);
  try {
    for await (const line of createInterface({ input: child.stdout })) return { ...(JSON.parse(line) as Answer), peak };
    throw new Error(`${script} gave no answer.`);
  } finally {
    clearInterval(watch);
    child.stdin.end();
  }
}

const bySentvec = (request: StepRequest): Promise<Measured> =>
  inProcess(process.execPath, fileFrom('./training-step.js'), request);

/** `undefined` where PyTorch is not installed. */
async function byPyTorch(request: StepRequest): Promise<Measured | undefined> {
  const names = chosen.python === undefined ? ['/usr/bin/python3', 'python3'] : [chosen.python];
  const python = names.find((name) => spawnSync(name, ['-c', 'import torch']).status === 0);
  return python === undefined ? undefined : inProcess(python, fileFrom('../pytorch/training_step.py'), request);
}

function fileFrom(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

function residentMegabytes(pid: number): number {
  const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' });
  return Math.round(Number(stdout) / 1024);
}

function makeRequest(one: TrainingCase, folder: string): StepRequest {
  const random = new Random(1);
  const texts = () =>
    Array.from({ length: one.pairs }, () => Array.from({ length: one.length(random) }, () => 10 + random.below(7900)));
  const labels = () => (one.labelled ? Array.from({ length: one.pairs }, () => random.uniform()) : null);
  return {
    folder,
    threads,
    batches: Array.from({ length: steps }, () => ({ a: texts(), b: texts(), labels: labels() })),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.slice(warmUp).toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

console.log(`${describeMachine()}; ${threads} threads; medians of ${steps - warmUp} steps`);
for (const one of cases) {
  const request = makeRequest(one, await one.model());
  const ours = await bySentvec(request);
  const theirs = await byPyTorch(request);
  const lines = [`\n${one.name}`, `  sentvec  ${median(ours.milliseconds).toFixed(0)} ms a step, ${ours.peak} MB`];
  if (theirs === undefined)
    lines.push(
      '  PyTorch  not installed: apt-get install python3-torch libopenblas0-pthread (without OpenBLAS it is many times slower)',
    );
  else {
    const apart = Math.max(...ours.losses.map((loss, step) => Math.abs(loss / theirs.losses[step]! - 1)));
    const ratio = median(ours.milliseconds) / median(theirs.milliseconds);
    lines.push(
      `  PyTorch  ${median(theirs.milliseconds).toFixed(0)} ms a step, ${theirs.peak} MB`,
      `  sentvec takes ${ratio.toFixed(2)} × PyTorch's time and ${(ours.peak / theirs.peak).toFixed(2)} × its memory; losses differ by ${apart.toExponential(1)} at most`,
    );
  }
  console.log(lines.join('\n'));
}
