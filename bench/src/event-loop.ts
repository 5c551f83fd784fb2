// How long timers wait while 10,000 texts are embedded, and how long the calling thread computes at a time.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { onnx } from '@sentvec/backend-onnx';
import { cacheDirectory, loadEmbedder } from '@sentvec/core/node';
import { models } from './models/index.ts';
import { passages, sentences } from './moby-dick.ts';
import { shuffled } from './random-numbers.ts';
import { printReport } from './report.ts';
import { quantile } from './rounds.ts';

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });

/** Measurements of the event loop by a chain of timers. Milliseconds. */
interface Gaps {
  /** Delays of the timers, which a request would have waited too. They include pauses caused by other programs. */
  readonly late: readonly number[];
  /** CPU time of this thread between two timers, that is, the delay that the program itself causes. */
  readonly computed: readonly number[];
}

/** Returns the CPU time of the calling thread in milliseconds on Linux, and 0 on other systems. */
function threadTime(): number {
  if (process.platform !== 'linux') return 0;
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ', 1)[0]) / 1e6;
}

/** Measures the event loop with a chain of short timers while `work` runs. */
async function gapsDuring(work: () => Promise<unknown>): Promise<Gaps> {
  const late: number[] = [];
  const computed: number[] = [];
  const period = 2;
  let ended = false;
  let due = performance.now() + period;
  let before = threadTime();
  const look = (): void => {
    late.push(Math.max(0, performance.now() - due));
    computed.push(threadTime() - before);
    if (ended) return;
    before = threadTime();
    due = performance.now() + period;
    setTimeout(look, period);
  };
  setTimeout(look, period);
  await work();
  ended = true;
  return { late, computed };
}

function row(name: string, { late, computed }: Gaps): string[] {
  const most = (times: readonly number[]): string[] => [1, 0.999].map((share) => quantile(times, share).toFixed(1));
  return [name, String(late.length), ...most(computed), ...most(late)];
}

/** Returns 10,000 texts: mostly sentences, some longer passages. */
function texts(): string[] {
  const passage = passages(150, 250);
  const sentence = sentences(4, 30);
  const long = Array.from({ length: 500 }, (_, place) => passage[place % passage.length]!);
  return shuffled([...Array.from({ length: 9500 }, (_, place) => sentence[place % sentence.length]!), ...long], 5);
}

await sleep(1000); // The modules that have just been loaded are compiled meanwhile.
const measured = [{ name: 'nothing to do', gaps: await gapsDuring(() => sleep(5000)) }];
const corpus = texts();
for (const model of models.toReversed()) {
  const directory = await model.prepare(join(cacheDirectory(), 'bench'));
  const embedder = await loadEmbedder(directory, { backend: onnx() });
  measured.push({ name: model.name, gaps: await gapsDuring(() => embedder.embed(corpus)) });
  await embedder.dispose();
}
const header = ['meanwhile', 'turns', 'computed between two at most, ms', '99.9 %', 'late by at most, ms', '99.9 %'];
printReport(
  {
    method: `${corpus.length} texts; late timers include pauses of the machine`,
    tables: [{ header, rows: measured.map(({ name, gaps }) => row(name, gaps)) }],
    results: measured.map(({ name, gaps: { late, computed } }) => ({
      name,
      turns: late.length,
      computed: { most: quantile(computed, 1), p999: quantile(computed, 0.999) },
      late: { most: quantile(late, 1), p999: quantile(late, 0.999) },
    })),
  },
  values.json,
);
