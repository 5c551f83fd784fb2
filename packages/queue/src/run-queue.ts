import { Queue, type Telemetry } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { queueNames } from './names.ts';

/** Approximate number of BullMQ events that Redis keeps for each queue. */
const keptQueueEvents = 1000;

/** Opens the queue of runs over an existing connection. */
export function openRunQueue(connection: RedisConnection, prefix: string, telemetry: Telemetry | undefined): Queue {
  const streams = { events: { maxLen: keptQueueEvents } };
  const options = { connection, prefix, skipVersionCheck: true, skipWaitingForReady: true, streams };
  const queue = new Queue(queueNames.runs, { ...options, ...(telemetry && { telemetry }) });
  queue.on('error', () => {});
  return queue;
}
