// The entry for programs that only start and watch runs. It imports BullMQ only after Redis has answered, so that it
// fails fast.
export { defaultRedisUrl, redactUrl } from './connection.ts';
export type { Schedule, ScheduleOptions } from './schedules.ts';
export { defaultQueue, queueRuntime, type QueueRuntime, type QueueRuntimeOptions } from './queue-runtime.ts';
