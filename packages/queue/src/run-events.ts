// Reads the event stream of a run in Redis, and reconnects after lost connections.
import { setTimeout as sleep } from 'node:timers/promises';
import { onAbort } from '@sentvec/platform';
import { SentvecError } from '@sentvec/core';
import { eventIdError, hasEnded, type RunEvent, type RunEventPayload } from '@sentvec/workflow';
import { reasonOf, type RedisConnection } from './connection.ts';
import type { QueueNames } from './names.ts';
import type { RunStore } from './run-store.ts';

/** Milliseconds that one read waits for new events. */
const blockTimeout = 2000;

/** Options of {@link readEvents}. */
export interface ReadEventsOptions {
  readonly id: string;
  readonly after?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Yields the events of a run until it has ended. Reconnects automatically. */
export async function* readEvents(
  redis: RedisConnection,
  store: RunStore,
  names: QueueNames,
  { id, after = '0-0', signal }: ReadEventsOptions,
): AsyncGenerator<RunEvent, void> {
  if (!/^\d+-\d+$/.test(after)) throw eventIdError(after);
  // A separate connection, because a blocking read occupies it.
  const connection = redis.duplicate();
  connection.on('error', () => {});
  const disconnect = () => connection.disconnect();
  const stopListening = onAbort(signal, disconnect);
  let last = after;
  try {
    while (!isAborted(signal)) {
      const ended = await hasRunEnded(store, id);
      const events = await nextEvents(connection, names.events(id), last, ended === false);
      for (const event of events ?? []) {
        if (isAborted(signal)) return;
        last = event.id;
        yield event;
      }
      // The run ended before this read, so no further events can follow.
      if (ended && events?.length === 0) return;
    }
  } finally {
    stopListening();
    disconnect();
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted ?? false;
}

/** Whether the run has ended; `undefined` if Redis does not answer. */
async function hasRunEnded(store: RunStore, id: string): Promise<boolean | undefined> {
  try {
    const run = await store.readPosition(id);
    return !run || hasEnded(run.state);
  } catch {
    return undefined;
  }
}

/**
 * Reads events; `undefined` if Redis does not answer.
 * @throws SentvecError `queue-unavailable` when the user may not read streams
 */
async function nextEvents(
  connection: RedisConnection,
  key: string,
  last: string,
  wait: boolean,
): Promise<RunEvent[] | undefined> {
  try {
    if (connection.status === 'wait') await connection.connect();
    const reply = wait
      ? await connection.xread('COUNT', 500, 'BLOCK', blockTimeout, 'STREAMS', key, last)
      : await connection.xread('COUNT', 500, 'STREAMS', key, last);
    return (reply?.[0]?.[1] ?? []).map(([id, fields]) => parseEvent(id, fields));
  } catch (cause) {
    const reason = reasonOf(cause);
    if (reason.includes('NOPERM'))
      throw new SentvecError(
        'queue-unavailable',
        `The events of a run cannot be read: ${reason}. Allow the user the commands on streams.`,
        {},
        { cause },
      );
    await sleep(300);
    return undefined;
  }
}

function parseEvent(id: string, fields: readonly string[]): RunEvent {
  const field = (name: string) => fields[fields.indexOf(name) + 1] ?? '';
  return { id, at: Number(field('at')), ...(JSON.parse(field('event')) as RunEventPayload) };
}
