/** How a setting is written: as a flag, in the environment, for people. */
export interface Setting {
  readonly flag: string;
  readonly variable: string;
  readonly hint: string;
  readonly description: string;
  readonly default?: string;
}

/** Name of a setting. */
export type SettingName =
  | 'redis'
  | 'queue'
  | 'roots'
  | 'buckets'
  | 'models'
  | 'threads'
  | 'concurrency'
  | 'window'
  | 'globalConcurrency'
  | 'rateLimit'
  | 'host'
  | 'port'
  | 'token'
  | 'plugins'
  | 'stopTimeout'
  | 'logLevel';

/** All settings of a worker. A flag wins over the environment. Lists are separated by commas. */
export const settings: Readonly<Record<SettingName, Setting>> = {
  redis: {
    flag: 'redis',
    variable: 'SENTVEC_REDIS_URL',
    hint: 'URL',
    description: 'Redis: redis://user:password@host:port/db, rediss:// for TLS, redis+cluster:// for a cluster.',
    default: 'redis://127.0.0.1:6379',
  },
  queue: {
    flag: 'queue',
    variable: 'SENTVEC_QUEUE',
    hint: 'NAME',
    description: 'The queue to serve.',
    default: 'sentvec',
  },
  roots: {
    flag: 'root',
    variable: 'SENTVEC_ROOTS',
    hint: 'DIR,…',
    description: 'Folders that jobs may read and write. Without one, no job may touch a file.',
  },
  buckets: {
    flag: 'bucket',
    variable: 'SENTVEC_BUCKETS',
    hint: 'URI,…',
    description: 'Buckets that workflows of plugins may touch: s3://name/folder.',
  },
  models: {
    flag: 'model',
    variable: 'SENTVEC_MODELS',
    hint: 'MODEL,…',
    description: 'Models that jobs may name: folders, names on the hub, use-lite.',
    default: 'use-lite',
  },
  threads: {
    flag: 'threads',
    variable: 'SENTVEC_THREADS',
    hint: 'N',
    description: 'Threads of the processor for a model. Default: all cores.',
  },
  concurrency: {
    flag: 'concurrency',
    variable: 'SENTVEC_CONCURRENCY',
    hint: 'N',
    description: 'Steps at once in this process.',
    default: '2',
  },
  window: {
    flag: 'window',
    variable: 'SENTVEC_WINDOW',
    hint: 'N',
    description: 'Chunks of a run in Redis at once: at least twice the steps at once of all workers.',
    default: '512',
  },
  globalConcurrency: {
    flag: 'global-concurrency',
    variable: 'SENTVEC_GLOBAL_CONCURRENCY',
    hint: 'N',
    description:
      'Steps at once in all workers of the queue; 0 lifts the limit that another worker has set. Default: as it is.',
  },
  rateLimit: {
    flag: 'rate-limit',
    variable: 'SENTVEC_RATE_LIMIT',
    hint: 'N/SECONDS',
    description: 'Steps that begin in so many seconds, in all workers of the queue. Default: no limit.',
  },
  host: {
    flag: 'host',
    variable: 'SENTVEC_HOST',
    hint: 'ADDRESS',
    description: 'Where to listen for HTTP. Beyond this machine a token is needed.',
    default: '127.0.0.1',
  },
  port: {
    flag: 'port',
    variable: 'SENTVEC_PORT',
    hint: 'N',
    description: 'Port for HTTP; 0 takes a free one.',
    default: '7766',
  },
  token: {
    flag: 'token',
    variable: 'SENTVEC_TOKEN',
    hint: 'SECRET',
    description: 'What HTTP requests must carry: Authorization: Bearer SECRET. At least 16 characters.',
  },
  plugins: {
    flag: 'plugin',
    variable: 'SENTVEC_PLUGINS',
    hint: 'MODULE,…',
    description: 'Modules with poolings and workflows of your own.',
  },
  stopTimeout: {
    flag: 'stop-timeout',
    variable: 'SENTVEC_STOP_TIMEOUT',
    hint: 'SECONDS',
    description:
      'How long stopping may take after SIGTERM. Steps that have not finished shortly before go back to the queue.',
    default: '30',
  },
  logLevel: {
    flag: 'log-level',
    variable: 'SENTVEC_LOG_LEVEL',
    hint: 'LEVEL',
    description: 'debug, info, warn, error or silent.',
    default: 'info',
  },
};
