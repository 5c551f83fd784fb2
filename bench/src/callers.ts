// Measures concurrent callers of one embedder: the throughput and latency of callers that embed one text at a time,
// compared with one call that has all texts. Both are measured alternately.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { onnx } from '@sentvec/backend-onnx';
import { cacheDirectory, loadEmbedder } from '@sentvec/core/node';
import type { Embedder } from '@sentvec/core';
import { models } from './models/index.ts';
import { printReport } from './report.ts';
import { median, medianRatio, quantile, timeInTurns, type Timed, roundsOf } from './rounds.ts';
import { shortSentences } from './workloads/short-sentences.ts';

const usage = `pnpm bench callers [--rounds N] [--model NAME] [--json]

Lets callers embed 800 short texts, each one text after the other, in turns with one call of all of them.
--rounds   default 5
--model    only models whose name contains this
--json     print JSON
`;

const texts = 800;
const callers = [1, 4, 16, 100, 500];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    model: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main(roundsOf(values.rounds));

interface Result {
  readonly model: string;
  readonly callers: string;
  readonly textsPerSecond: number;
  /** Throughput relative to one call with all texts; median over the rounds. */
  readonly ofOneCall: number;
  /** Median time that a caller waits for a vector, in milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

async function main(rounds: number): Promise<void> {
  const results: Result[] = [];
  for (const model of models.filter(({ name }) => name.includes(values.model))) {
    const directory = await model.prepare(join(cacheDirectory(), 'bench'));
    const embedder = await loadEmbedder(directory, { backend: onnx() });
    results.push(...(await measure(model.name, embedder, rounds)));
    await embedder.dispose();
  }
  const header = ['model', 'callers', 'texts/s', 'of one call', 'p50, ms', 'p99, ms'];
  const rows = results.map((result) => [
    result.model,
    result.callers,
    result.textsPerSecond.toFixed(0),
    result.ofOneCall.toFixed(2),
    result.p50.toFixed(1),
    result.p99.toFixed(1),
  ]);
  printReport({ method: `${rounds} rounds`, tables: [{ header, rows }], results }, values.json);
}

async function measure(model: string, embedder: Embedder, rounds: number): Promise<Result[]> {
  const all = (await shortSentences.texts()).slice(0, texts);
  const latencies = new Map<string, number[]>();
  const waitFor = async (name: string, some: readonly string[]): Promise<void> => {
    const started = performance.now();
    await embedder.embed(some);
    latencies.get(name)!.push(performance.now() - started);
  };
  const oneCall = 'one call';
  const entries: Timed[] = [{ name: oneCall, run: () => waitFor(oneCall, all) }];
  for (const count of callers) {
    const name = String(count);
    const run = async (): Promise<void> => {
      let next = 0;
      const caller = async (): Promise<void> => {
        while (next < all.length) await waitFor(name, [all[next++]!]);
      };
      await Promise.all(Array.from({ length: count }, caller));
    };
    entries.push({ name, run });
  }
  for (const { name } of entries) latencies.set(name, []);
  const timings = await timeInTurns(entries, rounds);
  return entries.map(({ name }) => ({
    model,
    callers: name,
    textsPerSecond: (texts / median(timings.get(name)!)) * 1000,
    ofOneCall: medianRatio(timings, oneCall, name),
    p50: quantile(latencies.get(name)!, 0.5),
    p99: quantile(latencies.get(name)!, 0.99),
  }));
}
