// The part of the runtime contract on what goes wrong: wrong values, retries, dead letters.
import { SentvecError } from '@sentvec/core';
import { defineStep, defineWorkflow, type AnyWorkflow, type RetryPolicy, type Workflow } from '@sentvec/workflow';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { allEvents, type RuntimeFixture } from './runtime-contract-fixture.ts';

const quickly = { delay: 1, jitter: 0 };

async function* twoItems(): AsyncGenerator<number, void> {
  yield 1;
  yield 2;
}

/** What a runtime does when something is wrong. */
export function runtimeFailureContract({ connect }: RuntimeFixture): void {
  it('refuses an input that does not fit its schema, before anything runs', async () => {
    const never = defineStep({ id: 'never', input: v.any(), output: v.any(), run: () => expect.unreachable() });
    const workflow = defineWorkflow({ id: 'picky', input: v.object({ size: v.number() }) }).step(never);
    const { runtime } = await connect(workflow);
    const start = runtime.start(workflow, { size: 'large' } as never);
    await expect(start).rejects.toMatchObject({ code: 'invalid-argument', message: expect.stringContaining('size') });
    expect(await runtime.list()).toEqual([]);
  });

  it('fails on a result that does not fit, or that is data rather than a reference, and does not try again', async () => {
    for (const [id, output, result] of [
      ['wrong-type', v.number(), 'seven'],
      ['large', v.string(), 'x'.repeat(100_000)],
      ['not-json', v.any(), 7n],
    ] as const) {
      let calls = 0;
      const step = defineStep({
        id,
        input: v.null(),
        output,
        retry: quickly,
        run: () => {
          calls += 1;
          return result;
        },
      });
      const workflow = defineWorkflow({ id: `result-${id}`, input: v.null() }).step(step);
      const { runtime } = await connect(workflow);
      const run = await runtime.start(workflow, null);
      await expect(run.result()).rejects.toMatchObject({
        code: 'invalid-argument',
        message: expect.stringContaining(`"${id}"`),
      });
      expect(calls).toBe(1);
    }
  });

  it('ends a run whose functions throw anything, or give what is not JSON, and says which it was', async () => {
    const ring: Record<string, unknown> = {};
    ring['ring'] = ring;
    const refused = new Error('fetch failed', { cause: new AggregateError([], '', { cause: 'ECONNREFUSED' }) });
    const thrown: readonly (readonly [unknown, RegExp])[] = [
      [Object.create(null), /failed: \[Object: null prototype\] \{\}/],
      [undefined, /failed: undefined/],
      [{ status: 503 }, /failed: \{ status: 503 \}/],
      [new SentvecError('step-failed', 'large', { bytes: 7n, ring }), /^large/],
      [Object.assign(refused, { ring }), /failed: fetch failed: AggregateError/],
      [new Error('x'.repeat(1_000_000)), /^.{1000,5000}$/],
    ];
    const any = v.any();
    const once = { ...quickly, attempts: 1 };
    const items = defineStep({ id: 'items', input: any, output: any, run: twoItems });
    const item = defineStep({ id: 'item', input: any, output: any, run: (value: number) => value });
    const define = (id: string) => defineWorkflow({ id, input: any });
    const step = (id: string, run: Parameters<typeof defineStep>[0]['run'], retry: RetryPolicy = once) =>
      define(id).step(defineStep({ id: 'only', input: any, output: any, retry, run: run as () => null }));
    const fold = (id: string, initial: unknown, add: (total: Set<number>) => unknown) =>
      define(id)
        .step(items)
        .forEach(item, { fold: { initial, add: (total) => add(total as Set<number>) } });
    const asks = (): never => {
      throw new TypeError('undecided');
    };
    const cases: readonly (readonly [AnyWorkflow, RegExp])[] = [
      ...thrown.map(
        ([value, message], index) => [step(`throws-${index}`, () => Promise.reject(value)), message] as const,
      ),
      [
        step('when', () => Promise.reject(new Error('lost')), { ...quickly, when: asks }),
        /retry\.when.*undecided.*lost/,
      ],
      [step('progress', async (_, { progress }) => progress(7n)), /progress of step .* cannot be written as JSON/],
      [
        step('letter', async (_, { deadLetter }) => deadLetter({ reference: 7 } as never)),
        /dead letter .*both strings/,
      ],
      [fold('fold-value', 0, () => 7n), /total of a forEach cannot be written as JSON/],
      [fold('fold-promise', 0, async () => 7), /not a promise/],
      [fold('fold-throws', 0, (total) => total.add(1)), /fold of a forEach failed: .*not a function/],
    ];
    const { runtime } = await connect(...cases.map(([workflow]) => workflow));
    await Promise.all(
      cases.map(async ([workflow, message]) => {
        const run = await runtime.start(workflow as Workflow<unknown, unknown>, null);
        await expect(run.result()).rejects.toMatchObject({ message: expect.stringMatching(message) });
        expect(JSON.stringify((await run.status()).error).length).toBeLessThan(20_000);
      }),
    );
  });

  it('never counts more items than it expects, whatever the source expects', async () => {
    const items = defineStep({
      id: 'items',
      input: v.any(),
      output: v.number(),
      async *run(_: null, { expect: expectItems }) {
        expectItems(NaN);
        yield 1;
        expectItems(1);
        yield 2;
        yield 3;
      },
    });
    const item = defineStep({ id: 'item', input: v.number(), output: v.number(), run: (value) => value });
    const workflow = defineWorkflow({ id: 'expecting', input: v.null() }).step(items).forEach(item);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, null);
    await run.result();
    const shown = (await allEvents(run)).flatMap((event) => (event.type === 'items' ? [event.items] : []));
    expect(shown.at(-1)).toEqual({ done: 3, planned: 3, expected: 3 });
    for (const { planned, expected } of shown) expect(expected ?? Infinity).toBeGreaterThanOrEqual(planned);
  });

  it('fails a run whose source yields fewer items when it is read again', async () => {
    let reads = 0;
    const items = defineStep({
      id: 'items',
      input: v.any(),
      output: v.number(),
      retry: quickly,
      async *run() {
        reads += 1;
        yield 1;
        if (reads > 1) return;
        yield 2;
        throw new Error('The connection is lost.');
      },
    });
    const item = defineStep({ id: 'item', input: v.number(), output: v.number(), run: (value) => value });
    const workflow = defineWorkflow({ id: 'shrinking', input: v.null() }).step(items).forEach(item);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, null);
    await expect(run.result()).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('yielded 1 items when it was read again, but at least 2 before'),
    });
  });

  it('tries again what may succeed, and says which attempt it is', async () => {
    const attempts: number[] = [];
    const shaky = defineStep({
      id: 'shaky',
      input: v.null(),
      output: v.string(),
      retry: { ...quickly, attempts: 3 },
      run: (_, { attempt }) => {
        attempts.push(attempt);
        if (attempt < 3) throw new SentvecError('io-failed', 'The disk is full.');
        return 'done';
      },
    });
    const workflow = defineWorkflow({ id: 'shaky-run', input: v.null() }).step(shaky);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, null);
    expect(await run.result()).toBe('done');
    expect(attempts).toEqual([1, 2, 3]);
    const retries = (await allEvents(run)).filter((event) => event.type === 'retry');
    expect(retries).toMatchObject([
      { attempt: 1, error: { code: 'io-failed' } },
      { attempt: 2, error: { code: 'io-failed' } },
    ]);
  });

  it('gives up when the attempts are used up, with the last error', async () => {
    let calls = 0;
    const broken = defineStep({
      id: 'broken',
      input: v.null(),
      output: v.null(),
      retry: { ...quickly, attempts: 2 },
      run: () => {
        calls += 1;
        throw new Error(`no luck ${calls}`);
      },
    });
    const workflow = defineWorkflow({ id: 'hopeless', input: v.null() }).step(broken);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, null);
    await expect(run.result()).rejects.toMatchObject({
      code: 'step-failed',
      message: expect.stringContaining('no luck 2'),
    });
    expect(calls).toBe(2);
    expect(await run.status()).toMatchObject({
      state: 'failed',
      error: { code: 'step-failed', details: { step: `${run.id}/broken` } },
    });
  });

  it('does not try again what cannot succeed', async () => {
    let calls = 0;
    const wrong = defineStep({
      id: 'wrong',
      input: v.null(),
      output: v.null(),
      retry: quickly,
      run: () => {
        calls += 1;
        throw new SentvecError('model-not-found', 'No such model.', { file: 'there' });
      },
    });
    const workflow = defineWorkflow({ id: 'wrong-run', input: v.null() }).step(wrong);
    const { runtime } = await connect(workflow);
    const result = (await runtime.start(workflow, null)).result();
    await expect(result).rejects.toMatchObject({ code: 'model-not-found', details: { file: 'there' } });
    expect(calls).toBe(1);
  });

  it('ends an attempt that takes too long, and aborts the signal of its step', async () => {
    let fired = 0;
    const slow = defineStep({
      id: 'slow',
      input: v.null(),
      output: v.null(),
      timeout: 30,
      retry: { ...quickly, attempts: 2 },
      run: (_, { signal }) => {
        signal.addEventListener('abort', () => (fired += 1));
        return new Promise<null>(() => {});
      },
    });
    const workflow = defineWorkflow({ id: 'slow-run', input: v.null() }).step(slow);
    const { runtime } = await connect(workflow);
    await expect((await runtime.start(workflow, null)).result()).rejects.toMatchObject({ code: 'timed-out' });
    expect(fired).toBe(2);
  });

  it('fails the run when an item fails for good, and starts no further items', async () => {
    let started = 0;
    const source = defineStep({
      id: 'source',
      input: v.null(),
      output: v.number(),
      async *run() {
        for (let index = 0; index < 1000; index += 1) yield index;
      },
    });
    const some = defineStep({
      id: 'some',
      input: v.number(),
      output: v.null(),
      run: async (value) => {
        started += 1;
        if (value === 3) throw new SentvecError('invalid-corpus', 'Row 3 is bad.', { row: 3 });
        await new Promise((resolve) => setTimeout(resolve, 2));
        return null;
      },
    });
    const workflow = defineWorkflow({ id: 'items', input: v.null() }).step(source).forEach(some);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, null);
    await expect(run.result()).rejects.toMatchObject({
      code: 'invalid-corpus',
      details: { row: 3, step: `${run.id}/some#3` },
    });
    expect(started).toBeLessThan(1000);
  });

  it('reads a source that fails in the middle again, and gives no item twice', async () => {
    let reads = 0;
    const source = defineStep({
      id: 'source',
      input: v.null(),
      output: v.number(),
      retry: quickly,
      async *run(_, { attempt }) {
        reads += 1;
        for (let index = 0; index < 10; index += 1) {
          if (index === 6 && attempt === 1) throw new Error('the line broke');
          yield index;
        }
      },
    });
    const pass = defineStep({ id: 'pass', input: v.number(), output: v.number(), run: (value) => value });
    const fold = { initial: '', add: (total: string, value: number) => total + String(value) };
    const workflow = defineWorkflow({ id: 'broken-source', input: v.null() }).step(source).forEach(pass, { fold });
    const { runtime } = await connect(workflow);
    expect(await (await runtime.start(workflow, null)).result()).toMatchObject({ count: 10, total: '0123456789' });
    expect(reads).toBe(2);
  });

  it('stores dead letters, each once, until the run is replayed', async () => {
    const lines = defineStep({
      id: 'lines',
      input: v.null(),
      output: v.null(),
      retry: quickly,
      run: (_, { attempt, runAttempt, deadLetter }) => {
        if (runAttempt === 1)
          for (const row of [7, 3]) deadLetter({ reference: `corpus#${row}`, reason: `Bad in attempt ${attempt}.` });
        if (attempt === 1) throw new Error('once more');
        return null;
      },
    });
    const workflow = defineWorkflow({ id: 'letters', input: v.null() }).step(lines);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, null);
    await run.result();
    expect(await run.deadLetters()).toEqual(
      [3, 7].map((row) => ({ reference: `corpus#${row}`, reason: 'Bad in attempt 2.' })),
    );
    const letters = (await allEvents(run)).filter((event) => event.type === 'dead-letter');
    expect(letters.map((event) => event.letter.reference)).toEqual(['corpus#7', 'corpus#3', 'corpus#7', 'corpus#3']);
    await run.replay();
    await run.result();
    expect(await run.deadLetters()).toEqual([]);
  });
}
