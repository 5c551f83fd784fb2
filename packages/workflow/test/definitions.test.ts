import { SentvecError } from '@sentvec/core';
import {
  checkRunId,
  defineStep,
  defineWorkflow,
  inProcessRuntime,
  retryDelay,
  fullRetryPolicy,
  isPassingFault,
  identifyRequest,
  type ForEachResult,
  type Workflow,
} from '@sentvec/workflow';
import { type } from 'arktype';
import * as v from 'valibot';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';

const definition = { id: 'length', input: v.string(), output: v.number(), run: (text: string) => text.length };
const length = defineStep(definition);
const letters = defineStep({
  id: 'letters',
  input: v.object({ word: v.string() }),
  output: v.string(),
  async *run({ word }) {
    yield* word;
  },
});

describe('types', () => {
  it('are inferred from stage to stage', () => {
    const workflow = defineWorkflow({
      id: 'typed',
      input: v.object({ word: v.string(), times: v.optional(v.number()) }),
    })
      .step(letters)
      .forEach(length, { fold: { initial: 0, add: (total, result) => total + result } });
    expectTypeOf(workflow).toEqualTypeOf<
      Workflow<
        { word: string; times?: number | undefined },
        ForEachResult<{ word: string; times?: number | undefined }, number>
      >
    >();
  });

  it('reject a step that does not accept the previous result, and a source without forEach', () => {
    const number = defineWorkflow({ id: 'typed', input: v.number() });
    // @ts-expect-error -- the step `length` requires a string
    number.step(length);
    const items = defineWorkflow({ id: 'typed', input: v.object({ word: v.string() }) }).step(letters);
    // @ts-expect-error -- the items of a step must be consumed by forEach
    expectTypeOf(items).toExtend<Workflow<never, unknown>>();
    // @ts-expect-error -- the result does not match the output schema
    defineStep({ id: 'wrong', input: v.string(), output: v.number(), run: (text) => text });
  });
});

describe('schemas', () => {
  it('can be from any Standard Schema library, also mixed', async () => {
    const workflow = defineWorkflow({
      id: 'mixed',
      input: z.object({ word: z.string(), times: z.number().default(2) }),
    })
      .step(
        defineStep({
          id: 'repeat',
          input: type({ word: 'string > 0', times: 'number' }),
          output: z.string(),
          run: ({ word, times }) => word.repeat(times),
        }),
      )
      .step(
        defineStep({
          id: 'length',
          input: v.pipe(v.string(), v.trim()),
          output: type('number < 9'),
          run: (text) => text.length,
        }),
      );
    expectTypeOf(workflow).toEqualTypeOf<Workflow<{ word: string; times?: number | undefined }, number>>();
    const runtime = inProcessRuntime();
    const resultOf = async (input: { word: string; times?: number }) => (await runtime.start(workflow, input)).result();
    expect(await resultOf({ word: ' abc' })).toBe(7);
    expect(await resultOf({ word: 'abc', times: 1 })).toBe(3);
    await expect(resultOf({ word: 1 } as never)).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringMatching(/workflow "mixed".*word:/),
    });
    await expect(resultOf({ word: '' })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringMatching(/input of step "repeat".*word:/),
    });
    await expect(resultOf({ word: 'abc', times: 3 })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringMatching(/output of step "length"/),
    });
  });
});

describe('invalid definitions', () => {
  const text = defineWorkflow({ id: 'text', input: v.string() });

  it('are refused with a reason', () => {
    expect(() => defineStep({ ...definition, id: 'a:b' })).toThrow(/letters, digits/);
    expect(() => defineStep({ ...definition, retry: { attempts: 0 } })).toThrow(/attempts/);
    expect(() => defineStep({ ...definition, retry: { jitter: 2 } })).toThrow(/jitter/);
    expect(() => defineStep({ ...definition, timeout: -1 })).toThrow(/timeout/);
    expect(() => text.step(length).step(length as never)).toThrow(/two stages with the id "length"/);
    expect(() => (text as never as { forEach: (step: unknown) => void }).forEach(length)).toThrow(/must follow a step/);
    for (const delay of [NaN, -1, Infinity])
      expect(() => defineStep({ ...definition, retry: { delay } })).toThrow(/retry\.delay/);
    const words = text.step(
      defineStep({ ...definition, id: 'words', run: async function* () {} }) as never,
    ) as never as {
      forEach: (step: unknown, options: { fold: object }) => void;
    };
    for (const initial of [-Infinity, 7n, new Set(), new Date(), undefined])
      expect(() => words.forEach(length, { fold: { initial, add: Number } })).toThrow(/initial total of a forEach/);
    expect(() => checkRunId('1:2')).toThrow(/not a valid run id/);
    expect(() => checkRunId('x'.repeat(100_000))).toThrow(/^.{100,400}$/);
  });
});

describe('requests', () => {
  const request = (id: string, input: unknown, content?: unknown) =>
    identifyRequest(defineWorkflow({ id, input: v.any(), identify: async () => ({ content }) }), input);

  it('are equal if workflow, input and content are equal, independent of the key order', async () => {
    const one = await request('a', { x: 1, y: [{ p: 1, q: 2 }] }, 'sizes');
    expect(await request('a', { y: [{ q: 2, p: 1 }], x: 1 }, 'sizes')).toEqual(one);
    for (const other of [request('b', { x: 1, y: [{ p: 1, q: 2 }] }, 'sizes'), request('a', { x: 1 }, 'sizes')])
      expect((await other).input).not.toBe(one.input);
    const changed = await request('a', { x: 1, y: [{ p: 1, q: 2 }] }, 'other sizes');
    expect(changed.input).toBe(one.input);
    expect(changed.content).not.toBe(one.content);
    expect((await request('a', [1, 2])).content).toBeUndefined();
  });
});

describe('retry delays', () => {
  it('double with each attempt up to the maximum, with jitter', () => {
    const exact = fullRetryPolicy({ attempts: 6, delay: 100, jitter: 0, maxDelay: 500 });
    const error = new Error('not now');
    const after = (attempts: number) => ({ attempts, milliseconds: 0 });
    const exactDelays = [1, 2, 3, 4, 5].map((attempts) => retryDelay(exact, error, after(attempts)));
    expect(exactDelays).toEqual([100, 200, 400, 500, 500]);
    const delays = Array.from({ length: 200 }, () =>
      retryDelay(fullRetryPolicy({ delay: 100, jitter: 0.5 }), error, after(2))!,
    );
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(100);
    expect(Math.max(...delays)).toBeLessThanOrEqual(200);
    expect(new Set(delays).size).toBeGreaterThan(10);
  });

  it('continue for minutes after temporary faults; stop after four attempts for unknown errors, and immediately for permanent ones', () => {
    const policy = fullRetryPolicy({ jitter: 0 });
    const full = new SentvecError('io-failed', 'The disk is full.', { errno: 'ENOSPC' });
    const network = Object.assign(new Error('fetch failed'), {
      cause: Object.assign(new Error(), { code: 'EAI_AGAIN' }),
    });
    for (const passing of [full, network]) {
      expect(retryDelay(policy, passing, { attempts: 4, milliseconds: 7000 })).toBe(8000);
      expect(retryDelay(policy, passing, { attempts: 30, milliseconds: 840_000 })).toBe(30_000);
      expect(retryDelay(policy, passing, { attempts: 31, milliseconds: 900_000 })).toBeUndefined();
      expect(retryDelay(fullRetryPolicy({ attempts: 3 }), passing, { attempts: 3, milliseconds: 0 })).toBeUndefined();
    }
    const unknown = new Error('undefined is not a function');
    expect(retryDelay(policy, unknown, { attempts: 3, milliseconds: 0 })).toBe(4000);
    expect(retryDelay(policy, unknown, { attempts: 4, milliseconds: 0 })).toBeUndefined();
    const absent = new SentvecError('io-failed', 'Not there.', { errno: 'ENOENT' });
    expect(retryDelay(policy, absent, { attempts: 1, milliseconds: 0 })).toBeUndefined();
    const withCode = (code: string, cause?: unknown) => Object.assign(new Error('it failed', { cause }), { code });
    const faults = [withCode('ENOSPC'), withCode('ENOENT'), withCode('ENOENT', withCode('EIO')), new Error('what?')];
    expect(faults.map((fault) => isPassingFault(fault))).toEqual([true, false, true, false]);
  });
});
