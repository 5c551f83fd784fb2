// All settings of a worker, with the texts of `sentvec worker --help`.

/** A setting: its flag, its environment variable, and what help says about it. */
export interface Setting {
  readonly flag: string;
  readonly variable: string;
  readonly hint: string;
  readonly description: string;
  readonly default?: string | undefined;
}

/** Name of a setting. */
export type SettingName =
  | 'redis'
  | 'redisCa'
  | 'redisCert'
  | 'redisKey'
  | 'redisServerName'
  | 'queue'
  | 'roots'
  | 'buckets'
  | 'models'
  | 'cache'
  | 'threads'
  | 'concurrency'
  | 'window'
  | 'globalConcurrency'
  | 'rateLimit'
  | 'retryTime'
  | 'host'
  | 'port'
  | 'token'
  | 'plugins'
  | 'stopTimeout'
  | 'logLevel';

/** All settings of a worker. A flag takes precedence over the environment. Lists are separated by commas. */
export const settings: Readonly<Record<SettingName, Setting>> = {
  redis: {
    flag: 'redis',
    variable: 'SENTVEC_REDIS_URL',
    hint: 'URL',
    description: 'Redis: redis://user:password@host:port/db, rediss:// for TLS, redis+cluster:// for a cluster.',
    default: 'redis://127.0.0.1:6379',
  },
  redisCa: {
    flag: 'redis-ca',
    variable: 'SENTVEC_REDIS_CA',
    hint: 'FILE',
    description: 'Certificates (PEM) of the authorities to trust for rediss://. Default: those that Node trusts.',
  },
  redisCert: {
    flag: 'redis-cert',
    variable: 'SENTVEC_REDIS_CERT',
    hint: 'FILE',
    description: 'Certificate (PEM) of this client, for a Redis that wants one.',
  },
  redisKey: {
    flag: 'redis-key',
    variable: 'SENTVEC_REDIS_KEY',
    hint: 'FILE',
    description: 'Private key (PEM) of that certificate.',
  },
  redisServerName: {
    flag: 'redis-server-name',
    variable: 'SENTVEC_REDIS_SERVER_NAME',
    hint: 'NAME',
    description: 'The name that must be in the certificate of Redis. Default: the host of the URL.',
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
    description: 'Folders that jobs may read and write. Without one, jobs cannot touch any file.',
  },
  buckets: {
    flag: 'bucket',
    variable: 'SENTVEC_BUCKETS',
    hint: 'URI,…',
    description: 'Stores that jobs may read and write: s3://bucket/folder, gs://…, az://…, hf://datasets/owner/name.',
  },
  models: {
    flag: 'model',
    variable: 'SENTVEC_MODELS',
    hint: 'MODEL,…',
    description: 'Models that jobs may use: folders, also in buckets, names on the hub, use-lite.',
    default: 'use-lite',
  },
  cache: {
    flag: 'cache',
    variable: 'SENTVEC_CACHE',
    hint: 'DIR',
    description:
      'A folder that keeps vectors by text and model, which workers may share: texts that are in it are not embedded again. Default: none.',
  },
  threads: {
    flag: 'threads',
    variable: 'SENTVEC_THREADS',
    hint: 'N',
    description: 'CPU threads for a model. Default: all cores.',
  },
  concurrency: {
    flag: 'concurrency',
    variable: 'SENTVEC_CONCURRENCY',
    hint: 'N',
    description: 'How many steps this process executes at once.',
    default: '2',
  },
  window: {
    flag: 'window',
    variable: 'SENTVEC_WINDOW',
    hint: 'N',
    description: 'The most unfinished chunks of a run in Redis. Twice the concurrency of all workers keeps them busy.',
    default: '512',
  },
  globalConcurrency: {
    flag: 'global-concurrency',
    variable: 'SENTVEC_GLOBAL_CONCURRENCY',
    hint: 'N',
    description:
      'How many steps all workers of the queue execute at once; 0 lifts the limit. Default: leaves it as it is.',
  },
  rateLimit: {
    flag: 'rate-limit',
    variable: 'SENTVEC_RATE_LIMIT',
    hint: 'N/SECONDS',
    description:
      'How many steps all workers of the queue begin in a number of seconds; 0 lifts the limit. Default: leaves it as it is.',
  },
  retryTime: {
    flag: 'retry-time',
    variable: 'SENTVEC_RETRY_TIME',
    hint: 'MINUTES',
    description: 'How long a chunk is tried again while a disk is full or read-only, or a network is away.',
    default: '15',
  },
  host: {
    flag: 'host',
    variable: 'SENTVEC_HOST',
    hint: 'ADDRESS',
    description: 'Address of the HTTP server. Any but that of this machine needs a token.',
    default: '127.0.0.1',
  },
  port: {
    flag: 'port',
    variable: 'SENTVEC_PORT',
    hint: 'N',
    description: 'Port of the HTTP server; 0 takes a free one.',
    default: '7766',
  },
  token: {
    flag: 'token',
    variable: 'SENTVEC_TOKEN',
    hint: 'SECRET',
    description: 'HTTP requests must send it as Authorization: Bearer SECRET. At least 16 characters.',
  },
  plugins: {
    flag: 'plugin',
    variable: 'SENTVEC_PLUGINS',
    hint: 'MODULE,…',
    description: 'Modules with your own poolings and workflows.',
  },
  stopTimeout: {
    flag: 'stop-timeout',
    variable: 'SENTVEC_STOP_TIMEOUT',
    hint: 'SECONDS',
    description:
      'How long stopping may take after SIGTERM. Steps that are still active shortly before go back into the queue.',
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
