import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onnx } from '@sentvec/backend-onnx';
import { cacheDirectory, loadEmbedder } from '@sentvec/core/node';
import { models } from './models/index.ts';
import { passages, sentences } from './moby-dick.ts';
import { shuffled } from './random-numbers.ts';
import { describeMachine } from './report.ts';

/** Measurements of the event loop by a chain of timers. Milliseconds, each list ascending. */
interface Gaps {
  /** How late the timers were: a request would have waited as long. Includes the pauses of the machine. */
  readonly late: readonly number[];
  /** Time that this thread computed between two turns: the part that the program itself causes. */
  readonly computed: readonly number[];
}

/** Milliseconds that the calling thread has computed for, as Linux counts them; elsewhere 0. */
function threadTime(): number {
  if (process.platform !== 'linux') return 0;
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ', 1)[0]) / 1e6;
}

/** Looks at the event loop by a chain of short timers while `work` goes on. */
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
  return { late: late.toSorted(ascending), computed: computed.toSorted(ascending) };
}

function ascending(one: number, other: number): number {
  return one - other;
}

function describe({ late, computed }: Gaps): string {
  const at = (times: readonly number[], share: number): string =>
    times[Math.floor((times.length - 1) * share)]!.toFixed(1);
  return (
    `${late.length} turns; computed between two at most ${at(computed, 1)} ms (99.9 %: ${at(computed, 0.999)}); ` +
    `late by at most ${at(late, 1)} ms (99.9 %: ${at(late, 0.999)})`
  );
}

/** 10,000 texts as they come: mostly sentences, some passages. */
function texts(): string[] {
  const passage = passages(150, 250);
  const sentence = sentences(4, 30);
  const long = Array.from({ length: 500 }, (_, place) => passage[place % passage.length]!);
  return shuffled([...Array.from({ length: 9500 }, (_, place) => sentence[place % sentence.length]!), ...long], 5);
}

process.stdout.write(`${describeMachine()}\nnothing to do: ${describe(await gapsDuring(() => sleep(5000)))}\n`);
for (const model of models.toReversed()) {
  const directory = await model.prepare(join(cacheDirectory(), 'bench'));
  const embedder = await loadEmbedder(directory, { backend: onnx() });
  const corpus = texts();
  process.stdout.write(
    `${model.name}, ${corpus.length} texts: ${describe(await gapsDuring(() => embedder.embed(corpus)))}\n`,
  );
  await embedder.dispose();
}
