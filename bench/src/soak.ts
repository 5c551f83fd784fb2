// A program that embeds for a long time: it loads and disposes models, computes batches of random shapes, and makes
// concurrent calls, some of which it aborts. Its memory must not grow, its results must stay correct, and the process
// must exit by itself.
import { readdirSync } from 'node:fs';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { onnx } from '@sentvec/backend-onnx';
import { SentvecError, type Embedder, type TokenBatch } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { goldenExpectation, goldenModelNames, goldenPath } from '@sentvec/testing';
import { uniform } from './random-numbers.ts';

const usage = `npm run soak -- [--cycles N] [--batches N] [--calls N] [--seed N]

--cycles   times that a model is loaded, embeds, and is disposed (default 2000)
--batches  batches of random shapes (default 200,000)
--calls    calls that run at once, half of which are aborted at a random moment (default 500)
--seed     of the shapes and moments (default 0)

Fails when memory grows, a thread or an open file is left, or a vector is not the one that the model gives. Linux only.
`;

/** Number of measurements per part. Growth during the first quarter is allowed, because caches fill then. */
const looks = 20;

/**
 * Allowed memory growth between the first quarter and the end, caused by the allocator: a relative and an absolute
 * part.
 */
const tolerance = { share: 0.1, bytes: 20e6 };

interface Look {
  readonly resident: number;
  readonly heap: number;
  readonly threads: number;
  readonly files: number;
}

/** Measures the process after garbage collection, when terminated threads have ended. */
async function look(): Promise<Look> {
  for (let pass = 0; pass < 3; pass += 1) {
    await sleep(20);
    globalThis.gc?.();
  }
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  const [threads, files] = ['task', 'fd'].map((name) => readdirSync(`/proc/self/${name}`).length);
  return { resident: rss, heap: heapUsed + arrayBuffers, threads: threads!, files: files! };
}

/** Runs a part in equal steps and measures the process after each. @throws Error if memory, threads or files grew */
async function watch(name: string, steps: number, unit: string, work: (step: number) => Promise<void>): Promise<void> {
  const seen: Look[] = [];
  const started = performance.now();
  for (let step = 0; step < steps; step += 1) {
    await work(step);
    if (Math.floor(((step + 1) * looks) / steps) === Math.floor((step * looks) / steps)) continue;
    const now = await look();
    seen.push(now);
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    say(
      `${name}: ${step + 1} ${unit} in ${seconds} s, ${megabytes(now.resident)} resident, ${megabytes(now.heap)} of objects, ${now.threads} threads, ${now.files} files`,
    );
  }
  const settled = seen[Math.floor(seen.length / 4)];
  const last = seen.at(-1);
  if (settled === undefined || last === undefined) return;
  for (const key of ['resident', 'heap'] as const) {
    const allowed = Math.max(tolerance.bytes, settled[key] * tolerance.share);
    if (last[key] > settled[key] + allowed)
      throw new Error(`${name}: memory grew from ${megabytes(settled[key])} to ${megabytes(last[key])} (${key}).`);
  }
  for (const key of ['threads', 'files'] as const)
    if (last[key] > settled[key]) throw new Error(`${name}: ${settled[key]} ${key} became ${last[key]}.`);
}

function load(model: string): Promise<Embedder> {
  return loadEmbedder(goldenPath(`models/${model}`), { backend: onnx() });
}

const models = goldenModelNames;
const expected = new Map(models.map((model) => [model, goldenExpectation(model).cases]));
const texts = expected.get(models[0]!)!.map(({ text }) => text);

/** @throws Error if vectors of a model differ from the expected ones */
function checkVectors(model: string, indices: readonly number[], data: Float32Array): void {
  const cases = expected.get(model)!;
  const width = data.length / indices.length;
  for (const [row, index] of indices.entries())
    for (const [entry, value] of cases[index]!.embedding.entries())
      if (!(Math.abs(value - data[row * width + entry]!) < 1e-4))
        throw new Error(`${model}: entry ${entry} of text ${index} is ${data[row * width + entry]}, not ${value}.`);
}

async function loadAndDispose(cycle: number): Promise<void> {
  const model = models[cycle % models.length]!;
  const embedder = await load(model);
  checkVectors(model, [0], (await embedder.embed(expected.get(model)![0]!.text)).vector);
  await embedder.dispose();
}

function randomBatch(random: () => number): TokenBatch {
  const [rows, cols] = [1 + Math.floor(random() ** 2 * 24), 1 + Math.floor(random() ** 2 * 62)];
  const ids = Int32Array.from({ length: rows * cols }, () => 5 + Math.floor(random() * 900));
  const lengths = Array.from({ length: rows }, () => 1 + Math.floor(random() * cols));
  const mask = Int32Array.from(ids, (_, index) => (index % cols < lengths[Math.floor(index / cols)]! ? 1 : 0));
  return { ids, mask, rows, cols };
}

async function randomBatches(count: number, random: () => number): Promise<void> {
  const embedder = await load(models[0]!);
  const { encoder, head } = embedder;
  const atOnce = Math.min(count, 4);
  await watch('batches', Math.ceil(count / atOnce), `× ${atOnce}`, async () => {
    const batches = Array.from({ length: atOnce }, () => randomBatch(random));
    const results = await Promise.all(batches.map((batch) => encoder.encodePooled!(batch, head)));
    for (const [index, vectors] of results.entries())
      if (vectors?.rows !== batches[index]!.rows || vectors.data.some((value) => !Number.isFinite(value)))
        throw new Error(`A batch of ${batches[index]!.rows} × ${batches[index]!.cols} returned no vectors.`);
  });
  await embedder.dispose();
}

/** Makes all calls of a round concurrently. Calls that are not aborted must return the correct vectors. */
async function callsAtOnce(count: number, rounds: number, random: () => number): Promise<void> {
  const embedder = await load(models[0]!);
  let [aborted, finished] = [0, 0];
  const call = async (): Promise<void> => {
    const indices = Array.from({ length: 1 + Math.floor(random() * 40) }, () => Math.floor(random() * texts.length));
    const controller = new AbortController();
    const isAborted = random() < 0.5;
    const delay = random() * 300;
    if (isAborted) setTimeout(() => controller.abort(), delay);
    try {
      const { vectors } = await embedder.embed(
        indices.map((index) => texts[index]!),
        { signal: controller.signal },
      );
      checkVectors(models[0]!, indices, vectors.data);
      finished += 1;
    } catch (error) {
      if (!isAborted || !SentvecError.is(error, 'aborted')) throw error;
      aborted += 1;
    }
  };
  await watch('calls', rounds, `× ${count}`, async () => {
    await Promise.all(Array.from({ length: count }, call));
    await turn();
  });
  say(`calls: ${aborted} were aborted, ${finished} returned the correct vectors`);
  await embedder.dispose();
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const count = (text: string): number => {
  if (/^\d+$/u.test(text)) return Number(text);
  throw new Error(`"${text}" is not a whole number.\n\n${usage}`);
};
const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '2000' },
    batches: { type: 'string', default: '200000' },
    calls: { type: 'string', default: '500' },
    seed: { type: 'string', default: '0' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
} else {
  const random = uniform(count(values.seed));
  await watch('cycles', count(values.cycles), 'times loaded and disposed', loadAndDispose);
  if (count(values.batches) > 0) await randomBatches(count(values.batches), random);
  if (count(values.calls) > 0) await callsAtOnce(count(values.calls), 80, random);
  say('all done');
}
