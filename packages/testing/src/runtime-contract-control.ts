// The part of the runtime contract on handles of runs: finding, watching, pausing, cancelling, replaying.
import { defineStep, defineWorkflow, type Workflow } from '@sentvec/workflow';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { allEvents, collect, Gate, reaches, type RuntimeFixture } from './runtime-contract-fixture.ts';

const numbers = defineStep({
  id: 'numbers',
  input: v.number(),
  output: v.number(),
  async *run(end) {
    for (let index = 0; index < end; index += 1) yield index;
  },
});

/** Adds the tests of handles to the contract. */
export function runtimeControlContract({ connect }: RuntimeFixture): void {
  it('starts one run for two equal requests, as long as that run is alive', async () => {
    const gate = new Gate();
    let calls = 0;
    const input = v.object({ a: v.number(), b: v.optional(v.number(), 2) });
    const once = defineStep({
      id: 'once',
      input: v.any(),
      output: v.number(),
      run: async () => {
        calls += 1;
        await gate.opened;
        return calls;
      },
    });
    const workflow = defineWorkflow({ id: 'same', input }).step(once);
    const { runtime, elsewhere } = await connect(workflow);
    const [first, second, other] = await Promise.all([
      runtime.start(workflow, { a: 1, b: 2 }),
      (await elsewhere()).start(workflow, { b: 2, a: 1 }),
      runtime.start(workflow, { a: 1, b: 3 }),
    ]);
    expect(second.id).toBe(first.id);
    expect(other.id).not.toBe(first.id);
    await expect.poll(() => calls, { timeout: 20_000 }).toBe(2);
    expect((await runtime.start(workflow, { a: 1 })).id).toBe(first.id);
    gate.open();
    await Promise.all([first.result(), second.result(), other.result()]);
    const later = await runtime.start(workflow, { a: 1, b: 2 });
    expect(later.id).not.toBe(first.id);
    expect(await later.result()).toBe(3);
  });

  it('starts no second run for a request whose run is being replayed', async () => {
    const gate = new Gate();
    const wait = defineStep({
      id: 'wait',
      input: v.number(),
      output: v.number(),
      run: () => gate.opened.then(() => 1),
    });
    const workflow = defineWorkflow({ id: 'same-after-replay', input: v.number() }).step(wait);
    const { runtime } = await connect(workflow);
    const first = await runtime.start(workflow, 7);
    await first.cancel();
    await first.result().catch(() => {});
    await first.replay();
    const again = await runtime.start(workflow, 7);
    expect(again.id).toBe(first.id);
    gate.open();
    expect(await again.result()).toBe(1);
  });

  it('tells requests apart by the identity that the workflow gives them, and lets only one run write to a place', async () => {
    const gate = new Gate();
    const wait = defineStep({
      id: 'wait',
      input: v.any(),
      output: v.null(),
      run: async () => gate.opened.then(() => null),
    });
    let content: unknown = 1;
    let writes: string[] = [];
    const workflow = defineWorkflow({
      id: 'identified',
      input: v.string(),
      identify: async () => ({ ...(content !== 'unknown' && { content }), writes }),
    }).step(wait);
    const { runtime, elsewhere } = await connect(workflow);
    const first = await runtime.start(workflow, 'x');
    expect((await runtime.start(workflow, 'x')).id).toBe(first.id);
    content = 2;
    const changed = await runtime.start(workflow, 'x');
    expect(changed.id).not.toBe(first.id);
    content = 'unknown';
    const never = await Promise.all([runtime.start(workflow, 'x'), runtime.start(workflow, 'x')]);
    expect(new Set([first, changed, ...never].map(({ id }) => id)).size).toBe(4);
    writes = ['folder:/data/a', 'folder:/data/b'];
    const there = await elsewhere();
    const starts = await Promise.allSettled([runtime.start(workflow, 'y'), there.start(workflow, 'y')]);
    expect(starts.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    const [writer] = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    writes = ['folder:/data/b'];
    await expect(runtime.start(workflow, 'z')).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringContaining(`Run ${writer!.id} is writing to /data/b`),
      details: { run: writer!.id },
    });
    gate.open();
    await writer!.result();
    const next = await runtime.start(workflow, 'z');
    await next.result();
  });

  it('does not replay a run while another writes to the same place', async () => {
    const gates = [new Gate(), new Gate()];
    const wait = defineStep({
      id: 'wait',
      input: v.number(),
      output: v.null(),
      run: async (index) => gates[index]!.opened.then(() => null),
    });
    const identify = async () => ({ writes: ['folder:/data'] });
    const workflow = defineWorkflow({ id: 'exclusive', input: v.number(), identify }).step(wait);
    const { runtime } = await connect(workflow);
    gates[0]!.open();
    const first = await runtime.start(workflow, 0);
    await first.result();
    const second = await runtime.start(workflow, 1);
    await expect(first.replay()).rejects.toMatchObject({ code: 'invalid-output', details: { run: second.id } });
    gates[1]!.open();
    await second.result();
    await first.replay();
    await first.result();
  });

  it('makes a request idempotent by an id', async () => {
    let calls = 0;
    let content = 1;
    let alwaysNew = false;
    const once = defineStep({ id: 'once', input: v.any(), output: v.number(), run: () => (calls += 1) });
    const identify = async () => ({ content, alwaysNew });
    const workflow = defineWorkflow({ id: 'keyed', input: v.number(), identify }).step(once);
    const { runtime } = await connect(workflow);
    const first = await runtime.start(workflow, 7, { id: 'nightly' });
    expect([first.id, await first.result()]).toEqual(['nightly', 1]);
    const again = await runtime.start(workflow, 7, { id: 'nightly' });
    expect(await again.result()).toBe(1);
    expect(calls).toBe(1);
    await expect(runtime.start(workflow, 8, { id: 'nightly' })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('another input'),
    });
    content = 2;
    await expect(runtime.start(workflow, 7, { id: 'nightly' })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('changed since'),
    });
    expect(calls).toBe(1);
    // A request that must always be done is done once for each id, and its content counts, too.
    alwaysNew = true;
    const forced = await runtime.start(workflow, 7, { id: 'forced' });
    expect(await forced.result()).toBe(2);
    expect(await (await runtime.start(workflow, 7, { id: 'forced' })).result()).toBe(2);
    expect(await (await runtime.start(workflow, 7)).result()).toBe(3);
    content = 3;
    await expect(runtime.start(workflow, 7, { id: 'forced' })).rejects.toMatchObject({
      message: expect.stringContaining('changed since'),
    });
    expect(calls).toBe(3);
  });

  it('works on the input as it was at the start: none, or the JSON of it', async () => {
    const seen: unknown[] = [];
    const look = defineStep({ id: 'look', input: v.any(), output: v.any(), run: (value) => void seen.push(value) });
    const workflow = defineWorkflow({ id: 'looking', input: v.any() }).step(look);
    const dated = defineWorkflow({ id: 'dated', input: v.date(), identify: async () => ({ content: 7n }) }).step(look);
    const sized = defineWorkflow({ id: 'sized', input: v.any(), identify: async () => ({ content: 7n }) }).step(look);
    const { runtime } = await connect(workflow, dated, sized);
    await (await runtime.start(workflow, undefined)).result();
    const input = { file: 'one', __proto__: null };
    const run = await runtime.start(workflow, input);
    input.file = 'two';
    await run.result();
    await run.replay();
    await run.result();
    expect(seen).toEqual([null, { file: 'one' }, { file: 'one' }]);
    const inputs = [
      [workflow, 7n, 'cannot be written as JSON'],
      [dated, new Date(), 'Expected Date'],
      [sized, null, 'identifies a request to workflow "sized" cannot be written as JSON'],
    ] as const;
    for (const [asked, value, message] of inputs) {
      const start = runtime.start(asked as Workflow<unknown, unknown>, value);
      await expect(start).rejects.toMatchObject({
        code: 'invalid-argument',
        message: expect.stringContaining(message),
      });
    }
  });

  it('refuses numbers and ids of events that make no sense', async () => {
    const workflow = defineWorkflow({ id: 'nothing', input: v.any() });
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, null);
    for (const limit of [0, -1, NaN, 1.5])
      await expect(runtime.list({ limit })).rejects.toMatchObject({ code: 'invalid-argument' });
    for (const after of ['', 'last', '$', '1-2-3'])
      await expect(allEvents(run, after)).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('finds a run again by its id, from elsewhere, with its status, events and result', async () => {
    const gate = new Gate();
    const wait = defineStep({
      id: 'wait',
      input: v.string(),
      output: v.string(),
      run: async (name) => gate.opened.then(() => `hello ${name}`),
    });
    const workflow = defineWorkflow({ id: 'found', input: v.string() }).step(wait);
    const { runtime, elsewhere } = await connect(workflow);
    const run = await runtime.start(workflow, 'you', { id: 'by-this-name' });
    const there = await elsewhere();
    const found = await there.find('by-this-name');
    expect(found?.id).toBe(run.id);
    expect(await there.find('nobody')).toBeUndefined();
    await reaches(found!, 'running');
    const events = allEvents(found!);
    gate.open();
    expect(await found!.result()).toBe('hello you');
    const states = (await events).flatMap((event) => (event.type === 'state' ? [event.state] : []));
    expect(states.slice(-2)).toEqual(['running', 'completed']);
    expect(await found!.status()).toMatchObject({
      id: 'by-this-name',
      workflow: 'found',
      state: 'completed',
      attempt: 1,
      stage: 'wait',
    });
    expect(await there.list()).toMatchObject([{ id: 'by-this-name', state: 'completed' }]);
    await (await runtime.start(workflow, 'them', { id: 'later' })).result();
    expect((await there.list()).map(({ id }) => id)).toEqual(['later', 'by-this-name']);
    expect((await there.list({ limit: 1 })).map(({ id }) => id)).toEqual(['later']);
  });

  it('gives its events in order, to each reader from the beginning or from any event on', async () => {
    const pass = defineStep({ id: 'pass', input: v.number(), output: v.null(), run: () => null });
    const workflow = defineWorkflow({ id: 'events', input: v.number() }).step(numbers).forEach(pass);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, 5);
    const live = await allEvents(run);
    const again = await allEvents(run);
    expect(again).toEqual(live);
    const done = live.flatMap((event) => (event.type === 'items' ? [event.items.done] : []));
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(done.at(-1)).toBe(5);
    expect(await allEvents(run, live[2]!.id)).toEqual(live.slice(3));
    const controller = new AbortController();
    controller.abort();
    expect(await collect(run.events({ signal: controller.signal }))).toEqual([]);
  });

  it('starts no item while a run is paused, and goes on when it is resumed', async () => {
    const gates = Array.from({ length: 8 }, () => new Gate());
    const started: number[] = [];
    const hold = defineStep({
      id: 'hold',
      input: v.number(),
      output: v.null(),
      run: async (index) => {
        started.push(index);
        await gates[index]!.opened;
        return null;
      },
    });
    const workflow = defineWorkflow({ id: 'paused', input: v.number() })
      .step(numbers)
      .forEach(hold, { concurrency: 2 });
    const { runtime, elsewhere } = await connect(workflow);
    const run = await runtime.start(workflow, 8);
    await expect.poll(() => started.length, { timeout: 20_000 }).toBe(2);
    const remote = (await (await elsewhere()).find(run.id))!;
    await remote.pause();
    expect((await run.status()).state).toBe('paused');
    for (const gate of gates) gate.open();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(started.length).toBe(2);
    await remote.resume();
    expect(await run.result()).toMatchObject({ count: 8 });
    expect(started.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const states = (await allEvents(run)).flatMap((event) => (event.type === 'state' ? [event.state] : []));
    expect(states.slice(-4)).toEqual(['running', 'paused', 'running', 'completed']);
  });

  it('cancels in the middle of a step', async () => {
    const reached = new Gate();
    let reason: unknown;
    let started = 0;
    const stuck = defineStep({
      id: 'stuck',
      input: v.number(),
      output: v.null(),
      run: (_, { signal }) => {
        started += 1;
        reached.open();
        return new Promise<null>((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reason = signal.reason;
            reject(new Error('stopped'));
          });
        });
      },
    });
    const workflow = defineWorkflow({ id: 'cancelled', input: v.number() })
      .step(numbers)
      .forEach(stuck, { concurrency: 1 });
    const { runtime, elsewhere } = await connect(workflow);
    const run = await runtime.start(workflow, 100);
    await reached.opened;
    await (await (await elsewhere()).find(run.id))!.cancel();
    await expect(run.result()).rejects.toMatchObject({ code: 'aborted' });
    await reaches(run, 'cancelled');
    await expect.poll(() => reason, { timeout: 20_000 }).toMatchObject({ code: 'aborted' });
    expect(started).toBe(1);
    await run.cancel();
    await run.pause();
    expect((await run.status()).state).toBe('cancelled');
  });

  it('stops waiting for a result without stopping the run', async () => {
    const gate = new Gate();
    const wait = defineStep({
      id: 'wait',
      input: v.null(),
      output: v.number(),
      run: async () => gate.opened.then(() => 7),
    });
    const workflow = defineWorkflow({ id: 'waits', input: v.null() }).step(wait);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, null);
    const controller = new AbortController();
    const waiting = run.result({ signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'aborted' });
    gate.open();
    expect(await run.result()).toBe(7);
  });

  it('replays a run as its next attempt, with the same keys', async () => {
    const seen: string[] = [];
    const note = defineStep({
      id: 'note',
      input: v.number(),
      output: v.number(),
      run: (index, { runAttempt, key }) => {
        seen.push(`${runAttempt} ${key}`);
        if (runAttempt === 1 && index === 2) throw Object.assign(new Error('poison'), {});
        return runAttempt;
      },
      retry: { attempts: 1 },
    });
    const fold = { initial: 0, add: (total: number, result: number) => total + result };
    const workflow = defineWorkflow({ id: 'again', input: v.number() })
      .step(numbers)
      .forEach(note, { fold, concurrency: 1 });
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, 3);
    await expect(run.result()).rejects.toMatchObject({ code: 'step-failed' });
    await run.replay();
    expect(await run.result()).toMatchObject({ count: 3, total: 6 });
    const keys = [0, 1, 2].map((index) => `${run.id}/note#${index}`);
    expect(seen).toEqual([...keys.map((key) => `1 ${key}`), ...keys.map((key) => `2 ${key}`)]);
    expect(await run.status()).toMatchObject({ state: 'completed', attempt: 2, error: undefined });
  });

  it('never changes an attempt through the handle of another attempt', async () => {
    const gate = new Gate();
    let calls = 0;
    const wait = defineStep({
      id: 'wait',
      input: v.null(),
      output: v.number(),
      run: async () => {
        calls += 1;
        if (calls > 1) await gate.opened;
        return calls;
      },
    });
    const workflow = defineWorkflow({ id: 'fenced', input: v.null() }).step(wait);
    const { runtime, elsewhere } = await connect(workflow);
    const run = await runtime.start(workflow, null);
    await run.result();
    const remote = (await (await elsewhere()).find(run.id))!;
    expect([run.attempt, remote.attempt]).toEqual([1, 1]);
    await remote.replay();
    expect([run.attempt, remote.attempt]).toEqual([1, 2]);
    await reaches(remote, 'running');
    for (const action of ['pause', 'resume', 'cancel', 'replay'] as const)
      await expect(run[action]()).rejects.toMatchObject({ code: 'invalid-argument', details: { attempt: 1 } });
    gate.open();
    expect(await remote.result()).toBe(2);
    expect((await allEvents(run)).filter((event) => event.type === 'state' && event.state === 'cancelled')).toEqual([]);
  });

  it('replays a failed run when it is requested again by its id, and refuses to replay one that has not ended', async () => {
    const gate = new Gate();
    let calls = 0;
    const fails = defineStep({
      id: 'fails',
      input: v.null(),
      output: v.number(),
      retry: { attempts: 1 },
      run: async () => {
        calls += 1;
        if (calls === 1) throw new Error('not yet');
        await gate.opened;
        return calls;
      },
    });
    const workflow = defineWorkflow({ id: 'later', input: v.null() }).step(fails);
    const { runtime } = await connect(workflow);
    const first = await runtime.start(workflow, null, { id: 'later' });
    await expect(first.result()).rejects.toMatchObject({ code: 'step-failed' });
    const second = await runtime.start(workflow, null, { id: 'later' });
    expect(second.id).toBe(first.id);
    await expect(second.replay()).rejects.toMatchObject({ code: 'invalid-argument' });
    gate.open();
    expect(await second.result()).toBe(2);
  });
}
