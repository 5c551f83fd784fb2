import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cacheDirectory, directoryModel } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { lossFromName, makeBatch, Random, recordGraphs, trainableTensors } from '@sentvec/training';
import { loadTrainable, onnxEngine } from '@sentvec/training/node';
import { miniLm } from './models/mini-lm.ts';
import { describeMachine } from './report.ts';

/** A training step to time: `pairs` pairs of texts of `length` tokens. */
interface TrainingCase {
  readonly name: string;
  readonly model: () => Promise<string>;
  readonly loss: 'CosineSimilarityLoss' | 'MultipleNegativesRankingLoss';
  readonly pairs: number;
  /** Tokens of each text, by its number. */
  readonly length: (random: Random) => number;
}

interface Order {
  readonly folder: string;
  readonly threads: number;
  readonly batches: readonly { readonly a: number[][]; readonly b: number[][]; readonly labels: number[] | null }[];
}

interface Answer {
  readonly losses: readonly number[];
  readonly milliseconds: readonly number[];
}

const defaultModel = async () => (await useLite()).directory;
const miniLmModel = () => miniLm.prepare(join(cacheDirectory(), 'bench'));
const cases: readonly TrainingCase[] = [
  {
    name: 'default model, 64 texts of 32 tokens',
    model: defaultModel,
    loss: 'MultipleNegativesRankingLoss',
    pairs: 32,
    length: () => 32,
  },
  {
    name: 'MiniLM size, 64 texts of 32 tokens',
    model: miniLmModel,
    loss: 'MultipleNegativesRankingLoss',
    pairs: 32,
    length: () => 32,
  },
  {
    name: 'default model, 16 pairs of 6 to 26 tokens',
    model: defaultModel,
    loss: 'CosineSimilarityLoss',
    pairs: 16,
    length: (random) => 6 + random.below(21),
  },
];

const steps = 8;
const warmUp = 2;
const threads = availableParallelism();

/** Steps on onnxruntime; the peak of this process's memory stands for the engine's, which is a thread of it. */
async function bySentvec(order: Order, loss: TrainingCase['loss']): Promise<Answer> {
  const { model, dimension, reader } = await loadTrainable(await directoryModel(order.folder));
  const objectives = [{ loss: lossFromName(loss), columns: 2 }];
  const trained = new Set(trainableTensors(model).map(({ name }) => name));
  const engine = onnxEngine(recordGraphs(model, dimension, { objectives, trained, dropout: false }), { threads });
  const texts = (ids: readonly number[][]) => ({
    texts: ids.map((list) => ({ ids: Int32Array.from(list), length: list.length, truncated: false })),
  });
  const losses: number[] = [];
  const milliseconds: number[] = [];
  for (const { a, b, labels } of order.batches) {
    const start = performance.now();
    const batch = makeBatch([texts(a), texts(b)], labels ? Float32Array.from(labels) : undefined);
    losses.push((await engine.step({ batches: [batch], learningRate: 1e-5 })).loss);
    milliseconds.push(performance.now() - start);
  }
  await engine.dispose();
  await reader.tokenizer.dispose();
  return { losses, milliseconds };
}

/** The same steps in PyTorch, in a process of its own. `undefined` where it is not installed. */
async function byPyTorch(order: Order): Promise<(Answer & { readonly peak: number }) | undefined> {
  const python = ['/usr/bin/python3', 'python3'].find((name) => spawnSync(name, ['-c', 'import torch']).status === 0);
  if (python === undefined) return undefined;
  const script = fileURLToPath(new URL('../pytorch/training_step.py', import.meta.url));
  const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, residentMegabytes(child.pid!))), 100);
  child.stdin.write(`${JSON.stringify(order)}\n`);
  try {
    for await (const line of createInterface({ input: child.stdout })) return { ...(JSON.parse(line) as Answer), peak };
    throw new Error('PyTorch gave no answer.');
  } finally {
    clearInterval(watch);
    child.stdin.end();
  }
}

function residentMegabytes(pid: number): number {
  const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' });
  return Math.round(Number(stdout) / 1024);
}

function makeOrder(one: TrainingCase, folder: string): Order {
  const random = new Random(1);
  const texts = () =>
    Array.from({ length: one.pairs }, () => Array.from({ length: one.length(random) }, () => 10 + random.below(7900)));
  const labels = () =>
    one.loss === 'CosineSimilarityLoss' ? Array.from({ length: one.pairs }, () => random.uniform()) : null;
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
  const order = makeOrder(one, await one.model());
  const ours = await bySentvec(order, one.loss);
  const peak = residentMegabytes(process.pid);
  const theirs = await byPyTorch(order);
  const lines = [`\n${one.name}`, `  sentvec  ${median(ours.milliseconds).toFixed(0)} ms a step, ${peak} MB`];
  if (theirs === undefined)
    lines.push(
      '  PyTorch  not installed: apt-get install python3-torch libopenblas0-pthread (without OpenBLAS it is many times slower)',
    );
  else {
    const apart = Math.max(...ours.losses.map((loss, step) => Math.abs(loss / theirs.losses[step]! - 1)));
    const ratio = median(ours.milliseconds) / median(theirs.milliseconds);
    lines.push(
      `  PyTorch  ${median(theirs.milliseconds).toFixed(0)} ms a step, ${theirs.peak} MB`,
      `  sentvec takes ${ratio.toFixed(2)} × PyTorch's time; losses differ by ${apart.toExponential(1)} at most`,
    );
  }
  console.log(lines.join('\n'));
}
