// Shows the progress of a run in a terminal until it ends, or until no worker could work on it for too long.
import { setTimeout as sleep } from 'node:timers/promises';
import { SentvecError } from '@sentvec/platform';
import { hasEnded, type RunHandle, type RunStatus } from '@sentvec/workflow';
import { embeddingProgress, type EmbeddingState } from '../progress.ts';
import { totalOf } from './describe-run.ts';

const period = 500;

/** The part of a command's context that watching needs. */
export interface WatchContext {
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
  /** Seconds for which nothing may be able to work on the run. @default any number */
  readonly maxIdle?: number | undefined;
}

/**
 * Shows a progress bar until the run ends, or until no worker could work on it for `maxIdle` seconds, and returns its
 * last status. If the connection to Redis is lost, it waits.
 * @throws SentvecError `aborted` when the signal is aborted; the run continues
 */
export async function watchRun(run: RunHandle, { signal, note, maxIdle }: WatchContext): Promise<RunStatus> {
  let status = await run.status();
  if (!hasEnded(status.state)) note(`Watching run ${run.id}. Ctrl-C stops watching, not the run.`);
  const progress = await embeddingProgress(stateOf(status));
  let connected = true;
  let notice: string | undefined;
  let idleSince: number | undefined;
  try {
    while (!hasEnded(status.state)) {
      if (status.notice && status.notice !== notice) note(status.notice);
      notice = status.notice;
      idleSince = notice === undefined ? undefined : (idleSince ?? performance.now());
      if (idleSince !== undefined && maxIdle !== undefined && performance.now() - idleSince >= 1000 * maxIdle) break;
      progress.update(stateOf(status));
      await sleep(period, undefined, { signal }).catch(() => {
        throw new SentvecError('aborted', `Stopped watching run ${run.id}. The run continues.`);
      });
      const next = await statusOrNothing(run);
      if (!next && connected) note('The connection to Redis was lost. Waiting for it …');
      if (next && !connected) note('The connection to Redis is back.');
      connected = next !== undefined;
      status = next ?? status;
    }
  } finally {
    progress.stop();
  }
  return status;
}

/** The state of a run for the progress bar. */
function stateOf(status: RunStatus): EmbeddingState {
  const { rows = 0, reusedRows = 0, tokens = 0 } = totalOf(status) ?? {};
  const { done, expected } = status.items ?? { done: 0, expected: undefined };
  const fraction = expected === undefined ? undefined : done / Math.max(1, expected);
  return { rows: rows - reusedRows, tokens, fraction };
}

async function statusOrNothing(run: RunHandle): Promise<RunStatus | undefined> {
  try {
    return await run.status();
  } catch (error) {
    if (SentvecError.is(error, 'queue-unavailable')) return undefined;
    throw error;
  }
}
