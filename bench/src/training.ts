import { spawn, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { Random } from '@sentvec/training';
import { miniLm } from './models/mini-lm.ts';
import { printReport } from './report.ts';
import type { Answer, StepRequest } from './training-step.ts';

/** A training step to time: `pairs` pairs of texts of `length` tokens. */
interface TrainingCase {
  readonly name: string;
  readonly model: () => Promise<string>;
  /**
   * Whether the pairs have labels: with labels, CosineSimilarityLoss is used, without them
   * MultipleNegativesRankingLoss.
   */
  readonly labelled: boolean;
  readonly pairs: number;
  /** Returns the number of tokens of the next text. */
  readonly length: (random: Random) => number;
}

interface Measured extends Answer {
  /** Peak memory of the process, in megabytes. */
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

const help = `pnpm bench training [--python COMMAND] [--json]

Times training steps, each candidate in a process of its own, and prints the peaks of their memory.
--python  a command that starts a Python with PyTorch; default: Debian's, where python3-torch is installed
--json    print JSON
`;
const { values: chosen } = parseArgs({
  options: {
    python: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
});
if (chosen.help) {
  console.log(help);
  process.exit();
}

const steps = 8;
const warmUp = 2;
const threads = availableParallelism();

/**
 * Runs the steps in a separate process, which reads the request and writes the result, and measures its peak memory.
 */
async function inProcess([command, ...words]: readonly string[], request: StepRequest): Promise<Measured> {
  const child = spawn(command!, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, residentMegabytes(child.pid!))), 100);
  child.stdin.write(`${JSON.stringify(request)}\n`);
  try {
    for await (const line of createInterface({ input: child.stdout })) return { ...(JSON.parse(line) as Answer), peak };
    throw new Error(`${command} gave no answer.`);
  } finally {
    clearInterval(watch);
    child.stdin.end();
  }
}

const bySentvec = (request: StepRequest): Promise<Measured> =>
  inProcess([process.execPath, fileFrom('./training-step.js')], request);

/** Runs the steps with PyTorch. Returns `undefined` if it is not installed. */
async function byPyTorch(request: StepRequest): Promise<Measured | undefined> {
  const commands = chosen.python === undefined ? [['/usr/bin/python3'], ['python3']] : [chosen.python.split(' ')];
  const python = commands.find(([name, ...words]) => spawnSync(name!, [...words, '-c', 'import torch']).status === 0);
  if (python === undefined) return undefined;
  // The program is an argument: where the command changes the root of the file system, its file may not be there.
  const program = await readFile(fileFrom('../pytorch/training_step.py'), 'utf8');
  return inProcess([...python, '-c', program], request);
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

interface Compared {
  readonly name: string;
  readonly candidate: 'sentvec' | 'PyTorch';
  /** Of a step: the median. */
  readonly milliseconds: number;
  /** Peak memory of the process. */
  readonly megabytes: number;
  /** Of sentvec to PyTorch, and the largest relative difference of a loss, where PyTorch ran. */
  readonly ratio?: { readonly time: number; readonly memory: number; readonly losses: number };
}

const results: Compared[] = [];
for (const one of cases) {
  console.error(`${one.name} …`);
  const request = makeRequest(one, await one.model());
  const ours = await bySentvec(request);
  const theirs = await byPyTorch(request);
  const entry = { milliseconds: median(ours.milliseconds), megabytes: ours.peak };
  if (theirs === undefined) {
    results.push({ name: one.name, candidate: 'sentvec', ...entry });
    continue;
  }
  const time = median(theirs.milliseconds);
  const losses = Math.max(...ours.losses.map((loss, step) => Math.abs(loss / theirs.losses[step]! - 1)));
  const ratio = { time: entry.milliseconds / time, memory: ours.peak / theirs.peak, losses };
  results.push({ name: one.name, candidate: 'sentvec', ...entry, ratio });
  results.push({ name: one.name, candidate: 'PyTorch', milliseconds: time, megabytes: theirs.peak });
}
const without = results.some(({ candidate }) => candidate === 'PyTorch') ? '' : '; PyTorch is not installed';
printReport(
  {
    method: `${threads} threads; medians of ${steps - warmUp} steps${without}`,
    tables: [
      {
        header: ['step', 'candidate', 'ms', 'MB', "of PyTorch's time", 'of its memory', 'losses differ by'],
        rows: results.map(({ name, candidate, milliseconds, megabytes, ratio }) => [
          candidate === 'sentvec' ? name : '',
          candidate,
          milliseconds.toFixed(0),
          String(megabytes),
          ...(ratio === undefined
            ? ['', '', '']
            : [`${ratio.time.toFixed(2)} ×`, `${ratio.memory.toFixed(2)} ×`, ratio.losses.toExponential(1)]),
        ]),
      },
    ],
    results,
  },
  chosen.json,
);
