export {
  connectRedis,
  defaultRedisUrl,
  isDurable,
  redactUrl,
  type ConnectionRole,
  type ConnectOptions,
  type RedisConnection,
} from './connection.ts';
export { namesOf, queueNames, type QueueNames } from './names.ts';
export { defaultQueue, queueRuntime, type QueueRuntime, type QueueRuntimeOptions } from './queue-runtime.ts';
export { QueueWorker, startQueueWorker, type QueueWorkerOptions } from './queue-worker.ts';
export type { RateLimitSetting } from './rate-limit.ts';
export type { RecoverySettings } from './recovery-settings.ts';
export type { RedisTls } from './redis-tls.ts';
export type { RefusedJob } from './refused-jobs.ts';
export type { Schedule, ScheduleOptions } from './schedules.ts';
export type { ModelServer, PinnedModel, ServedModel } from './served-models.ts';
export type { StepReport, WorkerObserver } from './worker-parts.ts';
export { QueueOverview, type StepCounts } from './queue-overview.ts';
export type { ActiveStep, WorkerFacts } from './worker-registry.ts';
