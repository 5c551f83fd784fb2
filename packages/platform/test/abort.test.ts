import { getEventListeners } from 'node:events';
import {
  AbortScope,
  abortable,
  abortError,
  onAbort,
  SentvecError,
  sleep,
  throwIfAborted,
  withDeadline,
} from '@sentvec/platform';
import { expect, test, vi } from 'vitest';

const reason = new Error('the reader left');

function aborted(): AbortSignal {
  return AbortSignal.abort(reason);
}

/** What an abort looks like to sentvec, and to libraries that do not know sentvec. */
const abortShape = {
  name: 'AbortError',
  code: 'aborted',
  message: 'The work was aborted by its caller.',
  cause: reason,
};

const never = (): Promise<never> => new Promise(() => {});

test('an abort is a SentvecError that others recognize by its name, with the reason as its cause', async () => {
  expect(abortError(aborted())).toBeInstanceOf(SentvecError);
  expect(abortError(aborted())).toMatchObject(abortShape);
  expect(() => throwIfAborted(aborted())).toThrow(expect.objectContaining(abortShape));
  expect(() => throwIfAborted(undefined)).not.toThrow();
  await expect(abortable(never(), aborted())).rejects.toMatchObject(abortShape);
  await expect(sleep(60_000, aborted())).rejects.toMatchObject(abortShape);
  await expect(withDeadline(never, { error: late, signal: aborted() })).rejects.toMatchObject(abortShape);
});

test('a reason that is a SentvecError is the error itself', async () => {
  const disposed = new SentvecError('disposed', 'The embedder was disposed.');
  await expect(abortable(never(), AbortSignal.abort(disposed))).rejects.toBe(disposed);
});

test('other errors keep the name SentvecError', () => {
  expect(new SentvecError('disposed', 'gone').name).toBe('SentvecError');
});

test('a promise that settles first is what abortable gives, and no listener stays on the signal', async () => {
  const { signal } = new AbortController();
  await expect(abortable(Promise.resolve(7), signal)).resolves.toBe(7);
  await expect(abortable(Promise.reject(reason), signal)).rejects.toBe(reason);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('a promise that rejects after the abort is not an unhandled rejection', async () => {
  const unhandled: unknown[] = [];
  const listener = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', listener);
  const controller = new AbortController();
  const failing = sleep(5).then(() => Promise.reject(new Error('too late')));
  const call = abortable(failing, controller.signal);
  controller.abort(reason);
  await expect(call).rejects.toMatchObject(abortShape);
  await sleep(20);
  process.off('unhandledRejection', listener);
  expect(unhandled).toEqual([]);
});

test('any number of calls share one listener of a signal', async () => {
  const controller = new AbortController();
  const calls = Array.from({ length: 500 }, () => abortable(never(), controller.signal));
  expect(getEventListeners(controller.signal, 'abort').length).toBe(1);
  controller.abort(reason);
  for (const result of await Promise.allSettled(calls)) {
    expect(result).toMatchObject({ status: 'rejected', reason: abortShape });
  }
});

test('onAbort calls each listener once, unless it stopped listening', () => {
  const controller = new AbortController();
  const heard: string[] = [];
  onAbort(controller.signal, () => heard.push('first'));
  onAbort(controller.signal, () => heard.push('second'))();
  onAbort(controller.signal, () => heard.push('third'));
  controller.abort();
  expect(heard).toEqual(['first', 'third']);
  onAbort(controller.signal, () => heard.push('after the abort'));
  expect(heard).toEqual(['first', 'third', 'after the abort']);
});

test('sleep waits, and leaves no listener', async () => {
  const { signal } = new AbortController();
  const start = performance.now();
  await sleep(20, signal);
  expect(performance.now() - start).toBeGreaterThanOrEqual(19);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('the first of the caller and the parts ends a scope, and a closed scope stops listening to the caller', () => {
  const controller = new AbortController();
  const scope = new AbortScope(controller.signal);
  const failure = new Error('a part failed');
  scope.abort(failure);
  controller.abort(reason);
  expect(scope.signal.reason).toBe(failure);

  const outer = new AbortController();
  const done = new AbortScope(outer.signal);
  done.close();
  expect(done.signal.reason).toMatchObject({ code: 'aborted', message: 'The work was no longer wanted.' });
  expect(getEventListeners(outer.signal, 'abort')).toEqual([]);
  expect(new AbortScope(aborted()).signal.reason).toBe(reason);
});

const late = (): SentvecError => new SentvecError('timed-out', 'It took longer than 20 ms.');

test('work within its deadline gives its result or its own error, and its signal does not fire', async () => {
  let given: AbortSignal | undefined;
  const options = { milliseconds: 60_000, error: late };
  await expect(withDeadline(async (signal) => ((given = signal), 7), options)).resolves.toBe(7);
  await expect(withDeadline(() => Promise.reject(reason), options)).rejects.toBe(reason);
  expect(given?.aborted).toBe(false);
});

test('work beyond its deadline fails with the error of the deadline, whether it heeds its signal or not', async () => {
  const options = { milliseconds: 20, error: late };
  await expect(withDeadline(never, options)).rejects.toMatchObject({ code: 'timed-out' });
  const heeding = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('stopped in the middle')));
    });
  await expect(withDeadline(heeding, options)).rejects.toMatchObject({ code: 'timed-out' });
});

test('an abort stays the error when the deadline passes while the work cleans up', async () => {
  const controller = new AbortController();
  const options = { milliseconds: 20, error: late, signal: controller.signal, grace: 60 };
  const call = withDeadline(never, options);
  controller.abort(reason);
  await expect(call).rejects.toMatchObject(abortShape);
});

test('work that was aborted may clean up for the grace', async () => {
  const controller = new AbortController();
  let cleanedUp = false;
  const call = withDeadline(
    async (signal) => {
      await sleep(60_000, signal).catch(() => sleep(20));
      cleanedUp = true;
      throw new Error('stopped');
    },
    { error: late, signal: controller.signal, grace: 60_000 },
  );
  controller.abort(reason);
  await expect(call).rejects.toMatchObject(abortShape);
  expect(cleanedUp).toBe(true);
});

test('a wait or deadline beyond what setTimeout takes does not end at once', async () => {
  vi.useFakeTimers();
  try {
    const days = 24 * 3_600_000;
    const ended: string[] = [];
    void sleep(60 * days).then(() => ended.push('60 days'));
    void sleep(Infinity).then(() => ended.push('never'));
    const hanging = withDeadline(never, { milliseconds: 40 * days, error: late }).catch(() => ended.push('40 days'));
    await vi.advanceTimersByTimeAsync(39 * days);
    expect(ended).toEqual([]);
    await vi.advanceTimersByTimeAsync(2 * days);
    await hanging;
    expect(ended).toEqual(['40 days']);
    await vi.advanceTimersByTimeAsync(20 * days);
    expect(ended).toEqual(['40 days', '60 days']);
  } finally {
    vi.useRealTimers();
  }
});
