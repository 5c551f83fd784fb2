import { SentvecError, type TokenBatch } from '@sentvec/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SessionPool } from '../src/session-pool.ts';
import type { SessionThread, ThreadListener } from '../src/session-thread.ts';

/** A scripted thread: the test finishes its batches. */
class ScriptedThread implements SessionThread {
  readonly hiddenSize = 1;
  readonly pooledOutput = undefined;
  readonly inFlight = new Set<number>();
  readonly cancelled: number[] = [];
  closed = 0;
  readonly #listener: ThreadListener;

  constructor(listener: ThreadListener) {
    this.#listener = listener;
  }

  run(id: number): void {
    this.inFlight.add(id);
  }

  cancel(id: number): void {
    this.cancelled.push(id);
    const [computing] = this.inFlight;
    if (id !== computing && this.inFlight.delete(id)) this.#listener.onOutcome(this, { id, result: 'cancelled' });
  }

  async close(): Promise<void> {
    this.closed += 1;
  }

  /** Ends the batch that is being computed. */
  finish(result: { readonly data: Float32Array } | { readonly reason: string } = { data: Float32Array.of(1) }): void {
    const [id] = this.inFlight;
    this.inFlight.delete(id!);
    this.#listener.onOutcome(this, { id: id!, result });
  }

  die(): void {
    this.#listener.onDeath(this, 'out of memory');
  }
}

const batch: TokenBatch = { ids: Int32Array.of(1), mask: Int32Array.of(1), rows: 1, cols: 1 };

async function openPool(
  sessions: number,
  refuse: (count: number) => boolean = () => false,
  onWarning: (message: string) => void = () => {},
): Promise<{ pool: SessionPool; threads: ScriptedThread[]; warnings: string[] }> {
  const threads: ScriptedThread[] = [];
  const warnings: string[] = [];
  let started = 0;
  const start = async (listener: ThreadListener): Promise<SessionThread> => {
    started += 1;
    if (refuse(started)) throw new Error('no such device');
    const thread = new ScriptedThread(listener);
    threads.push(thread);
    return thread;
  };
  const warned = (message: string): void => {
    warnings.push(message);
    onWarning(message);
  };
  return { pool: await SessionPool.open({ start, sessions, onWarning: warned }), threads, warnings };
}

const sizes = (threads: readonly ScriptedThread[]): number[] => threads.map((thread) => thread.inFlight.size);
const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: unknown) => (SentvecError.is(error) ? error.code : error),
  );
const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('the queue of a session pool', () => {
  it('gives every thread one batch, then the next one, and holds the rest back', async () => {
    const { pool, threads } = await openPool(2);
    const calls = Array.from({ length: 6 }, () => pool.run(batch));
    await settle();
    expect(sizes(threads)).toEqual([2, 2]);
    threads[0]!.finish();
    expect(sizes(threads)).toEqual([2, 2]);
    threads[1]!.finish();
    threads[1]!.finish();
    expect(sizes(threads)).toEqual([2, 1]);
    for (const thread of threads) while (thread.inFlight.size > 0) thread.finish({ data: Float32Array.of(7) });
    expect((await Promise.all(calls)).length).toBe(6);
  });

  it('reports what fails and goes on', async () => {
    const { pool, threads } = await openPool(1);
    const [broken, sound] = [codeOf(pool.run(batch)), codeOf(pool.run(batch))];
    threads[0]!.finish({ reason: 'indices out of bounds' });
    threads[0]!.finish();
    expect(await broken).toBe('backend-failed');
    expect(await sound).toBe('done');
  });
});

describe('the abort of a batch', () => {
  it('refuses at once, and sends nothing to a thread', async () => {
    const { pool, threads } = await openPool(1);
    expect(await codeOf(pool.run(batch, AbortSignal.abort()))).toBe('aborted');
    expect(sizes(threads)).toEqual([0]);
  });

  it('ends its calls, whether being computed, next in line or waiting, and no others', async () => {
    const { pool, threads } = await openPool(1);
    const controller = new AbortController();
    const ended = Array.from({ length: 3 }, () => codeOf(pool.run(batch, controller.signal)));
    const other = codeOf(pool.run(batch));
    controller.abort();
    expect(await Promise.all(ended)).toEqual(['aborted', 'aborted', 'aborted']);
    expect(threads[0]!.cancelled.slice(0, 2)).toEqual([1, 2]);
    threads[0]!.finish();
    threads[0]!.finish();
    expect(await other).toBe('done');
  });
});

it('a call that is aborted while it waits takes no other out of the queue', async () => {
  const { pool, threads } = await openPool(1);
  const controller = new AbortController();
  const before = [codeOf(pool.run(batch)), codeOf(pool.run(batch)), codeOf(pool.run(batch))];
  const aborted = codeOf(pool.run(batch, controller.signal));
  const after = [codeOf(pool.run(batch)), codeOf(pool.run(batch))];
  controller.abort();
  expect(await aborted).toBe('aborted');
  expect(threads[0]!.cancelled).toEqual([]);
  let finished = 0;
  for (; threads[0]!.inFlight.size > 0; finished += 1) threads[0]!.finish();
  expect(finished).toBe(5);
  expect(await Promise.all([...before, ...after])).toEqual(Array.from({ length: 5 }, () => 'done'));
});

it('when the restart of a thread fails, the other sessions compute its batches, and a warning says so', async () => {
  const { pool, threads, warnings } = await openPool(2, (count) => count > 2);
  const calls = Array.from({ length: 4 }, () => codeOf(pool.run(batch)));
  await settle();
  threads[1]!.finish();
  threads[1]!.finish();
  threads[0]!.die();
  await settle();
  expect(threads[1]!.inFlight.size).toBe(1);
  threads[1]!.finish();
  expect(await Promise.all(calls)).toEqual(expect.arrayContaining(['backend-failed', 'done', 'done', 'done']));
  expect(warnings).toEqual([expect.stringMatching(/cannot be opened again; continuing with 1\. .*no such device/u)]);
  await pool.dispose();
});

describe('a thread that dies', () => {
  it('loses the batch that it computed; the next one is computed by another', async () => {
    const { pool, threads } = await openPool(1);
    const [lost, saved, waiting] = [codeOf(pool.run(batch)), codeOf(pool.run(batch)), codeOf(pool.run(batch))];
    const [, second] = threads[0]!.inFlight;
    threads[0]!.die();
    expect(await lost).toBe('backend-failed');
    await settle();
    expect(threads.length).toBe(2);
    expect([...threads[1]!.inFlight][0]).toBe(second);
    threads[1]!.finish();
    threads[1]!.finish();
    expect(await Promise.all([saved, waiting])).toEqual(['done', 'done']);
  });

  it('ends the pool when it happens three times in a row', async () => {
    const { pool, threads } = await openPool(1);
    const calls = Array.from({ length: 6 }, () => codeOf(pool.run(batch)));
    for (let death = 0; death < 3; death += 1) {
      threads.at(-1)!.die();
      await settle();
    }
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['backend-failed']));
    expect(await codeOf(pool.run(batch))).toBe('backend-failed');
    expect(threads.length).toBe(3);
    await pool.dispose();
  });

  it('does not end the pool however often it happens, when batches are done in between', async () => {
    const { pool, threads } = await openPool(1);
    for (let death = 0; death < 5; death += 1) {
      const [lost, saved] = [codeOf(pool.run(batch)), codeOf(pool.run(batch))];
      threads.at(-1)!.die();
      expect(await lost).toBe('backend-failed');
      await settle();
      threads.at(-1)!.finish();
      expect(await saved).toBe('done');
    }
    await pool.dispose();
  });

  it('leaves the work to the others when it cannot be replaced', async () => {
    const { pool, threads } = await openPool(2, (count) => count > 2);
    const calls = [pool.run(batch), pool.run(batch)];
    await settle();
    while (threads[0]!.inFlight.size > 0) threads[0]!.finish();
    await Promise.all(calls);
    threads[0]!.die();
    await settle();
    const call = codeOf(pool.run(batch));
    threads[1]!.finish();
    expect(await call).toBe('done');
  });
});

describe('batches that come one at a time', () => {
  /** A pool of two sessions and further ones, whose batches take what the test says. */
  async function openWithFurther(
    milliseconds: { narrow: number; wide: number; here?: number },
    { refuseWide = false, cols = 1 } = {},
  ) {
    const threads: ScriptedThread[] = [];
    const warnings: string[] = [];
    let wide: ScriptedThread | undefined;
    let here: ScriptedThread | undefined;
    const pool = await SessionPool.open({
      start: async (listener) => threads[threads.push(new ScriptedThread(listener)) - 1]!,
      startWide: async (listener) => {
        if (refuseWide) throw new Error('no memory');
        return (wide = new ScriptedThread(listener));
      },
      openOnThisThread: 'here' in milliseconds ? async (listener) => (here = new ScriptedThread(listener)) : undefined,
      sessions: 2,
      onWarning: (message) => void warnings.push(message),
    });
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    const busy = (): ScriptedThread | undefined =>
      [wide, here, ...threads].find((thread) => thread && thread.inFlight.size > 0);
    const ids = new Int32Array(cols);
    /** Runs lone batches. @returns how many of them each further session computed */
    const runAlone = async (count: number): Promise<{ wide: number; here: number }> => {
      const computed = { wide: 0, here: 0 };
      for (let index = 0; index < count; index += 1) {
        const done = pool.run({ ids, mask: ids, rows: 1, cols });
        await settle();
        const thread = busy()!;
        if (thread === wide) computed.wide += 1;
        if (thread === here) computed.here += 1;
        now += thread === wide ? milliseconds.wide : thread === here ? milliseconds.here! : milliseconds.narrow;
        thread.finish();
        await done;
      }
      await settle();
      return computed;
    };
    return { pool, threads, warnings, runAlone, wide: () => wide, here: () => here };
  }
  /** Warm-up of a new session, and a trial, half of whose batches the slower session gets. */
  const warmUp = 24;
  const trial = 10;
  afterEach(() => void vi.restoreAllMocks());

  it('open a session of several threads after the eighth, and use it if it is faster', async () => {
    const faster = await openWithFurther({ narrow: 4, wide: 2 });
    expect(await faster.runAlone(7)).toEqual({ wide: 0, here: 0 });
    expect(faster.wide()).toBeUndefined();
    await faster.runAlone(1);
    expect(await faster.runAlone(warmUp + trial)).toEqual({ wide: warmUp + trial / 2, here: 0 });
    expect((await faster.runAlone(60)).wide).toBe(60);
    const slower = await openWithFurther({ narrow: 4, wide: 5 });
    expect((await slower.runAlone(8 + warmUp + trial)).wide).toBe(warmUp + trial / 2);
    expect((await slower.runAlone(60)).wide).toBe(0);
    await Promise.all([faster.pool.dispose(), slower.pool.dispose()]);
    expect(faster.wide()!.closed).toBe(1);
  });

  it('compare both sessions in turns when the machine has changed, and ever more rarely when it has not', async () => {
    const machine = { narrow: 8, wide: 30 };
    const { pool, runAlone } = await openWithFurther(machine);
    await runAlone(8 + warmUp + trial);
    Object.assign(machine, { narrow: 4, wide: 2 }); // Its other work is done.
    expect((await runAlone(64 + trial)).wide).toBe(trial / 2);
    expect((await runAlone(60)).wide).toBe(60);
    Object.assign(machine, { narrow: 8, wide: 30 });
    await runAlone(4 + trial);
    expect((await runAlone(60)).wide).toBe(0);
    const trials: number[] = [];
    for (let count = 0; count < 8 * 64; count += 1) if ((await runAlone(1)).wide === 1) trials.push(count);
    expect(trials.length).toBe(trial); // After 64 and 256 batches; the next would come after 1024.
    Object.assign(machine, { narrow: 4, wide: 2 });
    expect((await runAlone(5 + trial)).wide).toBe(trial / 2);
    expect((await runAlone(60)).wide).toBe(60);
    await pool.dispose();
  });

  it('open no session of several threads when they are short', async () => {
    const { runAlone, wide } = await openWithFurther({ narrow: 0.5, wide: 0.1 });
    await runAlone(30);
    expect(wide()).toBeUndefined();
  });

  it('have a session on the calling thread when they are short, and one in a thread when they are long', async () => {
    const short = await openWithFurther({ narrow: 0.5, wide: 0.1, here: 0.2 });
    await short.runAlone(8 + warmUp + trial);
    expect(await short.runAlone(60)).toEqual({ wide: 0, here: 60 });
    const long = await openWithFurther({ narrow: 11, wide: 4, here: 4 }, { cols: 100 });
    await long.runAlone(2 + 8 + warmUp + trial); // What a batch takes is known after two.
    expect(await long.runAlone(60)).toEqual({ wide: 60, here: 0 });
    expect(long.here()).toBeUndefined();
    await Promise.all([short.pool.dispose(), long.pool.dispose()]);
    expect(short.here()!.closed).toBe(1);
  });

  it('have it to themselves: several at once go to the sessions of one thread, and what comes meanwhile waits', async () => {
    const { pool, threads, runAlone, wide } = await openWithFurther({ narrow: 4, wide: 2 });
    await runAlone(20);
    const together = [pool.run(batch), pool.run(batch), pool.run(batch)];
    await settle();
    expect(wide()!.inFlight.size).toBe(0);
    expect(sizes(threads)).toEqual([2, 1]);
    for (const thread of threads) while (thread.inFlight.size > 0) thread.finish();
    await Promise.all(together);
    const alone = pool.run(batch);
    await settle();
    const waiting = [pool.run(batch), pool.run(batch)];
    await settle();
    expect([wide()!.inFlight.size, ...sizes(threads)]).toEqual([1, 0, 0]);
    wide()!.finish();
    await alone;
    expect(sizes(threads)).toEqual([1, 1]);
    for (const thread of threads) thread.finish();
    await Promise.all(waiting);
  });

  it('go on without it when it cannot be opened, dies, or a batch in it is aborted', async () => {
    const refused = await openWithFurther({ narrow: 4, wide: 2 }, { refuseWide: true });
    expect((await refused.runAlone(20)).wide).toBe(0);
    expect(refused.warnings).toEqual([expect.stringContaining('no memory')]);
    vi.restoreAllMocks();
    const { pool, threads, runAlone, wide } = await openWithFurther({ narrow: 4, wide: 2 });
    await runAlone(20);
    const controller = new AbortController();
    const aborted = codeOf(pool.run(batch, controller.signal));
    await settle();
    controller.abort();
    expect(await aborted).toBe('aborted');
    wide()!.finish();
    expect((await runAlone(5)).wide).toBe(5);
    const lost = codeOf(pool.run(batch));
    await settle();
    const waiting = codeOf(pool.run(batch));
    wide()!.die();
    expect(await lost).toBe('backend-failed');
    expect(sizes(threads)).toEqual([1]);
    threads[0]!.finish();
    expect(await waiting).toBe('done');
  });
});

describe('opening and disposal of a session pool', () => {
  it('starts one thread, and the others when there is work for them', async () => {
    const { pool, threads } = await openPool(3);
    for (let call = 0; call < 2; call += 1) {
      const done = pool.run(batch);
      threads[0]!.finish();
      await done;
    }
    expect(threads.length).toBe(1);
    const calls = [pool.run(batch), pool.run(batch)];
    await settle();
    expect(threads.length).toBe(3);
    while (threads[0]!.inFlight.size > 0) threads[0]!.finish();
    await Promise.all(calls);
    await pool.dispose();
    expect(threads.map((thread) => thread.closed)).toEqual([1, 1, 1]);
  });

  it('fails with the reason of the first thread', async () => {
    await expect(openPool(3, (count) => count === 1)).rejects.toThrow('no such device');
  });

  it('goes on with the threads that start when others do not, and says so, even if onWarning throws', async () => {
    const throwing = (): void => {
      throw new Error('the log is closed');
    };
    const { pool, threads, warnings } = await openPool(3, (count) => count === 2, throwing);
    const calls = Array.from({ length: 4 }, () => pool.run(batch));
    await settle();
    expect(sizes(threads)).toEqual([2, 2]);
    expect(warnings).toEqual([expect.stringContaining('no such device')]);
    for (const thread of threads) while (thread.inFlight.size > 0) thread.finish();
    expect((await Promise.all(calls)).length).toBe(4);
  });

  it('closes a thread that was being started', async () => {
    const { pool, threads } = await openPool(2);
    const calls = [codeOf(pool.run(batch)), codeOf(pool.run(batch))];
    await pool.dispose();
    expect(await Promise.all(calls)).toEqual(['disposed', 'disposed']);
    expect(threads.map((thread) => thread.closed)).toEqual([1, 1]);
  });

  it('ends all calls, and every later one', async () => {
    const { pool, threads } = await openPool(1);
    const calls = Array.from({ length: 4 }, () => codeOf(pool.run(batch)));
    await Promise.all([pool.dispose(), pool.dispose()]);
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['disposed']));
    expect(await codeOf(pool.run(batch))).toBe('disposed');
    expect(threads[0]!.closed).toBe(1);
  });
});
