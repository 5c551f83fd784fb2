import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { checkMemory, planSessions } from '../src/session-plan.ts';

const mebibyte = 2 ** 20;

describe('planSessions', () => {
  it('takes one session of one thread for each core when memory allows', () => {
    const { sessions, threadsPerSession, batchTokens } = planSessions(mebibyte, 'cpu', { memoryBudget: 2 ** 40 });
    expect(sessions).toBeGreaterThanOrEqual(1);
    expect(sessions).toBeLessThanOrEqual(availableParallelism());
    expect({ threadsPerSession, batchTokens }).toEqual({ threadsPerSession: 1, batchTokens: 512 });
  });

  it('takes one session with all cores when memory allows no more, or not even that', () => {
    const { sessions: cores } = planSessions(mebibyte, 'cpu', { memoryBudget: 2 ** 40 });
    for (const memoryBudget of [1000 * mebibyte, 100 * mebibyte]) {
      expect(planSessions(600 * mebibyte, 'cpu', { memoryBudget })).toEqual({
        sessions: 1,
        threadsPerSession: cores,
        batchTokens: 512 * cores,
      });
    }
  });

  it('takes one session for large weights, even if there is memory for more', () => {
    expect(planSessions(1200 * mebibyte, 'cpu', { memoryBudget: 2 ** 40 }).sessions).toBe(1);
  });

  it('has sessions of all cores for lone batches, unless memory or the options forbid it', () => {
    const { sessions: cores, ...plan } = planSessions(mebibyte, 'cpu', { memoryBudget: 2 ** 40 });
    expect(plan).toMatchObject({ loneThreads: Math.min(cores, 4), onCallingThread: true });
    const forAll = { memoryBudget: 65 * (cores + 1) * mebibyte };
    for (const options of [forAll, { sessions: cores }, { threadsPerSession: 1 }]) {
      const { sessions, loneThreads, onCallingThread } = planSessions(mebibyte, 'cpu', options);
      expect([sessions, loneThreads, onCallingThread]).toEqual([cores, undefined, undefined]);
    }
  });

  it('does not open large weights on the calling thread', () => {
    expect(planSessions(200 * mebibyte, 'cpu', { memoryBudget: 2 ** 40 }).onCallingThread).toBe(false);
  });

  it('follows the options', () => {
    expect(planSessions(mebibyte, 'cpu', { sessions: 3, threadsPerSession: 2, batchTokens: 77 })).toEqual({
      sessions: 3,
      threadsPerSession: 2,
      batchTokens: 77,
    });
  });

  it('takes one session with large batches on a GPU', () => {
    expect(planSessions(mebibyte, 'cuda', {})).toEqual({ sessions: 1, threadsPerSession: 1, batchTokens: 16_384 });
  });
});

describe('checkMemory', () => {
  const model = { size: 9000 * mebibyte, file: 'big/onnx/model.onnx' };

  it('refuses a model that is larger than the memory, with both sizes and the ways out', () => {
    expect(() => checkMemory(model, 'cpu', {}, 4096 * mebibyte)).toThrow(
      expect.objectContaining({
        code: 'backend-unavailable',
        message: expect.stringMatching(
          /big\/onnx\/model\.onnx needs 9\.5 GB.*only 4\.3 GB are available.*variant.*memoryBudget/u,
        ),
      }),
    );
  });

  it('accepts a model that fits, one for which memoryBudget says so, and one on a GPU', () => {
    expect(() => {
      checkMemory(model, 'cpu', {}, 9100 * mebibyte);
      checkMemory(model, 'cpu', { memoryBudget: 9100 * mebibyte }, 4096 * mebibyte);
      checkMemory(model, 'cuda', {}, 4096 * mebibyte);
    }).not.toThrow();
  });
});
