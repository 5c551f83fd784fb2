/** Reads Parquet files in a worker thread. */
import { findFile } from '../inputs/find-inputs.ts';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { onAbort } from '@sentvec/platform';
import { startThread, type Thread } from '@sentvec/platform/node';
import type { ParquetFile, ParquetProtocol, ParquetRange, ParquetRows, ParquetSummary } from './parquet-messages.ts';

/** @throws SentvecError `invalid-corpus` for a broken file, `io-failed`, `aborted` */
export async function readParquetSummary(file: ParquetFile, signal?: AbortSignal): Promise<ParquetSummary> {
  return callThread(file, signal, (thread) => thread.call('summarize', file));
}

/**
 * Reads some rows and columns of a Parquet file as JSON values. Numbers that JavaScript cannot represent exactly become
 * strings of digits; times become ISO 8601, and bytes base64.
 *
 * @throws SentvecError `invalid-corpus` for a broken file, `io-failed`, `aborted`
 */
export async function readParquetRows(range: ParquetRange, signal?: AbortSignal): Promise<ParquetRows> {
  return callThread(range, signal, (thread) => thread.call('read', range));
}

const parquetWorker = {
  file: './parquet-worker.js',
  entry: '@sentvec/corpus/parquet-worker',
  from: import.meta.url,
};

type ParquetThread = Thread<ParquetProtocol>;

let running: Promise<ParquetThread> | undefined;

function sharedThread(): Promise<ParquetThread> {
  running ??= startThread<ParquetProtocol>(parquetWorker, {
    name: 'Parquet reader',
    data: undefined,
    remedy: 'It may have run out of memory.',
  });
  return running;
}

/** Drops a thread, so that the next call starts a new one. */
function forget(thread: Promise<ParquetThread>): void {
  if (running === thread) running = undefined;
}

/**
 * The timeout of a read in milliseconds: a minute plus 1 ms per 1,000 bytes of the file, up to a maximum. After it, the
 * library is probably in an endless loop because of a damaged file.
 */
async function longestRead({ path }: ParquetFile): Promise<number> {
  const bytes = await findFile(path).then(
    (found) => found.bytes,
    () => 0, // The thread reports the error of the file.
  );
  return Math.min(15 * 60_000, 60_000 + bytes / 1000);
}

/**
 * Calls the thread. An abort terminates the thread, because a running computation cannot be interrupted; calls of other
 * callers are repeated on a new thread.
 */
async function callThread<T>(
  file: ParquetFile,
  signal: AbortSignal | undefined,
  call: (thread: ParquetThread) => Promise<T>,
): Promise<T> {
  const longest = await longestRead(file);
  for (;;) {
    throwIfAborted(signal);
    const started = sharedThread();
    let overdue = false;
    const end = (): void => {
      forget(started);
      void started.then(
        (thread) => thread.terminate(),
        () => {}, // The caller that awaits it gets this error.
      );
    };
    const timer = setTimeout(() => {
      overdue = true;
      end();
    }, longest);
    const stopListening = onAbort(signal, end);
    try {
      return await call(await started);
    } catch (error) {
      throwIfAborted(signal);
      if (overdue)
        throw unreadableError(file.name, `reading it took more than ${Math.round(longest / 1000)} seconds`, error);
      const isDead = SentvecError.is(error, 'disposed') || SentvecError.is(error, 'backend-failed');
      if (!isDead) throw error;
      forget(started);
      if (SentvecError.is(error, 'backend-failed'))
        throw unreadableError(file.name, error.message.replace(/\.$/, ''), error);
    } finally {
      clearTimeout(timer);
      stopListening();
    }
  }
}

function unreadableError(file: string, problem: string, cause: unknown): SentvecError {
  const remedy = 'Fetch it again, or write it with smaller row groups.';
  return new SentvecError('invalid-corpus', `${file} cannot be read: ${problem}. ${remedy}`, { file }, { cause });
}
