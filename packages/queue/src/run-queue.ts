import { Queue, type Telemetry } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { queueNames } from './names.ts';

/** About how many of BullMQ's own events Redis keeps for each queue. */
const keptQueueEvents = 1000;

/** The queue of runs, over a connection that is there. */
export function openRunQueue(connection: RedisConnection, prefix: string, telemetry: Telemetry | undefined): Queue {
  const streams = { events: { maxLen: keptQueueEvents } };
  const options = { connection, prefix, skipVersionCheck: true, skipWaitingForReady: true, streams };
  const queue = new Queue(queueNames.runs, { ...options, ...(telemetry && { telemetry }) });
  queue.on('error', () => {});
  return queue;
}
