// The entry for programs that only start and watch runs. It loads BullMQ after Redis has answered, to fail sooner.
export { defaultRedisUrl, redactUrl } from './connection.ts';
export type { Schedule, ScheduleOptions } from './schedules.ts';
export { defaultQueue, queueRuntime, type QueueRuntime, type QueueRuntimeOptions } from './queue-runtime.ts';
