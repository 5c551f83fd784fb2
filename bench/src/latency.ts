// Measures the latency of single queries: sentvec, plain onnxruntime with one thread and with all threads, and
// transformers.js, alternately.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheDirectory, directoryModel, nodeTokenizer } from '@sentvec/core/node';
import { readTokenizerDefinition } from '@sentvec/core';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { sentvecOnnx } from './candidates/sentvec-onnx.ts';
import { transformersJs, transformersJsAllCores } from './candidates/transformers-js.ts';
import { models } from './models/index.ts';
import { printReport } from './report.ts';
import { median, quantile, roundsOf } from './rounds.ts';

const usage = `pnpm bench latency [--rounds N] [--model NAME] [--json]

Embeds one short text after the other, in turns with others on the same ONNX file, and prints p50 and p99.
--rounds   turns of each candidate; default 20
--model    only models whose name contains this
--json     print JSON
`;

const query = 'How do I reset the password of my account?';
/**
 * Queries per turn. The first ones are not counted, because the CPU caches still hold the data of the previous
 * candidate.
 */
const queriesOfTurn = 40;
const uncounted = 8;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    model: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main(roundsOf(values.rounds));

interface Entry {
  readonly name: string;
  /** Embeds the query; for plain onnxruntime, runs the model on its tokens. */
  readonly run: () => Promise<unknown>;
  readonly close: () => Promise<void>;
}

interface Result {
  readonly model: string;
  readonly candidate: string;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** The candidate's p50 divided by that of the faster plain onnxruntime; median over the turns. */
  readonly ofBare: number;
}

async function main(rounds: number): Promise<void> {
  const results: Result[] = [];
  for (const model of models.filter(({ name }) => name.includes(values.model)))
    results.push(...(await measure(model.name, await model.prepare(join(cacheDirectory(), 'bench')), rounds)));
  const rows = results.map(({ model, candidate, p50, p99, ofBare }) => [
    model,
    candidate,
    p50.toFixed(2),
    p99.toFixed(2),
    (p99 / p50).toFixed(1),
    ofBare.toFixed(2),
  ]);
  const header = ['model', 'candidate', 'p50, ms', 'p99, ms', 'p99 / p50', 'p50 / best bare'];
  printReport(
    { method: `${rounds} turns of ${queriesOfTurn - uncounted} queries`, tables: [{ header, rows }], results },
    values.json,
  );
}

async function measure(model: string, directory: string, rounds: number): Promise<Result[]> {
  const bare = await Promise.all([1, availableParallelism()].map((threads) => openBare(directory, threads)));
  const entries = [...bare];
  for (const candidate of [sentvecOnnx, transformersJs, transformersJsAllCores]) {
    const open = await candidate.open(directory);
    entries.push({ name: candidate.name, run: () => open.embed([query]), close: () => open.close() });
  }
  // Warm up, because a real server has been running for a while.
  for (const { run } of entries) for (let call = 0; call < 50; call += 1) await run();
  const turns = new Map<Entry, number[][]>(entries.map((entry) => [entry, []]));
  for (let round = 0; round < rounds; round += 1)
    for (const entry of round % 2 === 0 ? entries : entries.toReversed()) turns.get(entry)!.push(await turn(entry));
  for (const { close } of entries) await close();
  const medians = (entry: Entry): number[] => turns.get(entry)!.map(median);
  const bestBare = Array.from({ length: rounds }, (_, round) =>
    Math.min(...bare.map((entry) => medians(entry)[round]!)),
  );
  return entries.map((entry) => ({
    model,
    candidate: entry.name,
    p50: quantile(turns.get(entry)!.flat(), 0.5),
    p99: quantile(turns.get(entry)!.flat(), 0.99),
    ofBare: median(medians(entry).map((time, round) => time / bestBare[round]!)),
  }));
}

async function turn({ run }: Entry): Promise<number[]> {
  const times: number[] = [];
  for (let call = 0; call < queriesOfTurn; call += 1) {
    const started = performance.now();
    await run();
    if (call >= uncounted) times.push(performance.now() - started);
  }
  return times;
}

/**
 * Opens plain onnxruntime, which runs the model on the tokens of the query on this thread. There is no tokenization and
 * no pooling, and the event loop is blocked.
 */
async function openBare(directory: string, threads: number): Promise<Entry> {
  const tokenizer = await nodeTokenizer()(await readTokenizerDefinition(await directoryModel(directory)));
  const [tokenized] = await tokenizer.encode([query], { maxLength: 512 });
  const ids = [...tokenized!.ids];
  await tokenizer.dispose();
  const session = await InferenceSession.create(join(directory, 'onnx', 'model.onnx'), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const inputs: Readonly<Record<string, (id: number) => number>> = {
    input_ids: (id) => id,
    attention_mask: () => 1,
    token_type_ids: () => 0,
  };
  const run = (): Promise<unknown> => {
    const feeds = session.inputNames.map((name) => {
      const numbers = BigInt64Array.from(ids.map((id) => BigInt(inputs[name]!(id))));
      return [name, new Tensor('int64', numbers, [1, ids.length])] as const;
    });
    return session.run(Object.fromEntries(feeds));
  };
  const name = `bare onnxruntime, ${threads} thread${threads === 1 ? '' : 's'}`;
  return { name, run, close: () => session.release() };
}
