// What a program needs that only starts and watches runs. Does not load BullMQ before Redis has answered, so that it
// fails sooner.
export { defaultRedisUrl, redactUrl } from './connection.ts';
export { defaultQueue, queueRuntime, type QueueRuntime, type QueueRuntimeOptions } from './queue-runtime.ts';
