import { open, rename, rm, stat, utimes } from 'node:fs/promises';
import { sleep } from '../abort.ts';
import { isSystemError } from './system-errors.ts';

/** Milliseconds: how often the holder shows that it lives, when it counts as dead, how often others look. */
const heartbeat = 4000;
const staleAfter = 20_000;
const lookEvery = 150;

/**
 * Runs `work` while no other process that locks the same path does. The lock is a file; one whose holder has died is
 * taken away after 20 seconds. A holder that was asleep for so long may wake up beside another: the lock saves double
 * work, it is not what keeps files sound.
 * @throws SentvecError `aborted` while waiting, and the errors of `work`
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  while (!(await tryLock(path))) {
    await sleep(lookEvery, signal);
  }
  const beat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), heartbeat);
  beat.unref();
  try {
    return await work();
  } finally {
    clearInterval(beat);
    await rm(path, { force: true });
  }
}

async function tryLock(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.close();
    return true;
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error;
    await removeStale(path);
    return false;
  }
}

/**
 * By a name of its own first: of two that find the same stale lock, one removes it, and not the next lock in its place.
 */
async function removeStale(path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined || Date.now() - stats.mtimeMs < staleAfter) return;
  const aside = `${path}.${process.pid}.stale`;
  await rename(path, aside).catch(() => {});
  await rm(aside, { force: true });
}
