import { expect, test } from 'vitest';
import { Semaphore } from '../src/embedder/semaphore.ts';

const never = new AbortController().signal;

/** Whether the promise is settled after all that is ready now has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  await new Promise((resolve) => void setImmediate(resolve));
  return settled;
}

test('lets in as many as it has permits, the others in order', async () => {
  const semaphore = new Semaphore(2);
  const [first, second] = await Promise.all([semaphore.acquire(never), semaphore.acquire(never)]);
  const third = semaphore.acquire(never);
  const fourth = semaphore.acquire(never);
  expect(await isSettled(third)).toBe(false);
  first();
  expect([await isSettled(third), await isSettled(fourth)]).toEqual([true, false]);
  second();
  expect(await isSettled(fourth)).toBe(true);
});

test('a waiter that is aborted leaves the line, and takes no permit', async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire(never);
  const controller = new AbortController();
  const aborted = semaphore.acquire(controller.signal);
  const next = semaphore.acquire(never);
  controller.abort();
  await expect(aborted).rejects.toMatchObject({ code: 'aborted' });
  release();
  expect(await isSettled(next)).toBe(true);
});

test('a waiter that is aborted in the moment in which it is let in gives the permit to the next', async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire(never);
  const controller = new AbortController();
  const aborted = semaphore.acquire(controller.signal);
  const next = semaphore.acquire(never);
  controller.abort();
  release();
  await expect(aborted).rejects.toMatchObject({ code: 'aborted' });
  expect(await isSettled(next)).toBe(true);
  (await next)();
  expect(await isSettled(semaphore.acquire(never))).toBe(true);
});

test('a signal that has fired before acquires nothing', async () => {
  const semaphore = new Semaphore(1);
  await expect(semaphore.acquire(AbortSignal.abort())).rejects.toMatchObject({ code: 'aborted' });
  expect(await isSettled(semaphore.acquire(never))).toBe(true);
});
