// All settings of a worker, with the texts of `sentvec worker --help`.

/** A setting, with its flag, its environment variable and its help text. */
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
    description: 'URL of Redis: redis://user:password@host:port/db, rediss:// for TLS, redis+cluster:// for a cluster.',
    default: 'redis://127.0.0.1:6379',
  },
  redisCa: {
    flag: 'redis-ca',
    variable: 'SENTVEC_REDIS_CA',
    hint: 'FILE',
    description:
      'File with the PEM certificates of the authorities to trust for rediss://. Default: those that Node trusts.',
  },
  redisCert: {
    flag: 'redis-cert',
    variable: 'SENTVEC_REDIS_CERT',
    hint: 'FILE',
    description: 'File with the PEM client certificate, if Redis requires one.',
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
    description: 'Name for which the certificate of Redis is issued. Default: the host of the URL.',
  },
  queue: {
    flag: 'queue',
    variable: 'SENTVEC_QUEUE',
    hint: 'NAME',
    description: 'Name of the queue to serve.',
    default: 'sentvec',
  },
  roots: {
    flag: 'root',
    variable: 'SENTVEC_ROOTS',
    hint: 'DIR,…',
    description: 'Folders that jobs may read and write. Without any, jobs cannot access local files.',
  },
  buckets: {
    flag: 'bucket',
    variable: 'SENTVEC_BUCKETS',
    hint: 'URI,…',
    description:
      'Remote locations that jobs may read and write: s3://bucket/folder, gs://…, az://…, hf://datasets/owner/name.',
  },
  models: {
    flag: 'model',
    variable: 'SENTVEC_MODELS',
    hint: 'MODEL,…',
    description: 'Models that jobs may use: local folders, bucket URIs, names on the Hugging Face Hub, use-lite.',
    default: 'use-lite',
  },
  cache: {
    flag: 'cache',
    variable: 'SENTVEC_CACHE',
    hint: 'DIR',
    description:
      'Cache folder for vectors, keyed by text and model, so that no text is embedded twice. Workers may share it. Default: none.',
  },
  threads: {
    flag: 'threads',
    variable: 'SENTVEC_THREADS',
    hint: 'N',
    description: 'CPU threads per model. Default: all cores.',
  },
  concurrency: {
    flag: 'concurrency',
    variable: 'SENTVEC_CONCURRENCY',
    hint: 'N',
    description: 'Number of steps that this worker executes concurrently.',
    default: '2',
  },
  window: {
    flag: 'window',
    variable: 'SENTVEC_WINDOW',
    hint: 'N',
    description:
      'Maximum number of unfinished chunks of a run in Redis. Use at least twice the total concurrency of all workers.',
    default: '512',
  },
  globalConcurrency: {
    flag: 'global-concurrency',
    variable: 'SENTVEC_GLOBAL_CONCURRENCY',
    hint: 'N',
    description:
      'Maximum number of steps that all workers of the queue execute concurrently; 0 removes the limit. Default: unchanged.',
  },
  rateLimit: {
    flag: 'rate-limit',
    variable: 'SENTVEC_RATE_LIMIT',
    hint: 'N/SECONDS',
    description:
      'Maximum number of steps that all workers of the queue start within SECONDS; 0 removes the limit. Default: unchanged.',
  },
  retryTime: {
    flag: 'retry-time',
    variable: 'SENTVEC_RETRY_TIME',
    hint: 'MINUTES',
    description: 'How long a chunk is retried while a disk is full or read-only, or the network is down.',
    default: '15',
  },
  host: {
    flag: 'host',
    variable: 'SENTVEC_HOST',
    hint: 'ADDRESS',
    description: 'Address on which the HTTP server listens. Any non-loopback address requires a token.',
    default: '127.0.0.1',
  },
  port: {
    flag: 'port',
    variable: 'SENTVEC_PORT',
    hint: 'N',
    description: 'Port of the HTTP server; 0 selects a free port.',
    default: '7766',
  },
  token: {
    flag: 'token',
    variable: 'SENTVEC_TOKEN',
    hint: 'SECRET',
    description: 'Token that HTTP requests must send as Authorization: Bearer SECRET. At least 16 characters.',
  },
  plugins: {
    flag: 'plugin',
    variable: 'SENTVEC_PLUGINS',
    hint: 'MODULE,…',
    description: 'Modules with custom poolings and workflows.',
  },
  stopTimeout: {
    flag: 'stop-timeout',
    variable: 'SENTVEC_STOP_TIMEOUT',
    hint: 'SECONDS',
    description:
      'Maximum time to stop after SIGTERM. Steps that are still active shortly before the deadline return to the queue.',
    default: '30',
  },
  logLevel: {
    flag: 'log-level',
    variable: 'SENTVEC_LOG_LEVEL',
    hint: 'LEVEL',
    description: 'Log level: debug, info, warn, error or silent.',
    default: 'info',
  },
};
