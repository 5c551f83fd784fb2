// Shared by all commands that use a queue: flags, the connection, and finding a run by its id.
import { SentvecError } from '@sentvec/platform';
import type { QueueRuntime } from '@sentvec/queue/producer';
import { settings, type SettingName } from '@sentvec/worker/settings';
import type { RunHandle, Runtime } from '@sentvec/workflow';
import { UsageError } from '../usage-error.ts';

/** Flags of all commands that use a queue. Environment variables set their defaults. */
export const queueArguments = {
  redis: { type: 'string', valueHint: 'URL', description: 'Default: SENTVEC_REDIS_URL, else redis://127.0.0.1:6379.' },
  'redis-ca': {
    type: 'string',
    valueHint: 'FILE',
    description:
      'Certificates of the authorities to trust for rediss://. Default: SENTVEC_REDIS_CA, else those of Node.',
  },
  'redis-cert': {
    type: 'string',
    valueHint: 'FILE',
    description: 'Certificate of this client, for a Redis that wants one. Default: SENTVEC_REDIS_CERT.',
  },
  'redis-key': { type: 'string', valueHint: 'FILE', description: 'Its private key. Default: SENTVEC_REDIS_KEY.' },
  'redis-server-name': {
    type: 'string',
    valueHint: 'NAME',
    description: 'The name in the certificate of Redis. Default: SENTVEC_REDIS_SERVER_NAME, else the host of the URL.',
  },
  queue: { type: 'string', valueHint: 'NAME', description: 'Default: SENTVEC_QUEUE, else sentvec.' },
} as const;

/** Flags of the commands that start a run. */
export const startArguments = {
  priority: { type: 'string', valueHint: 'N', description: '1 (first) to 1000. Default: 100.' },
  'run-id': {
    type: 'string',
    valueHint: 'ID',
    description:
      'The id of the run. Repeating the same request with the same id returns the same run, until 7 days after its end; another request with this id is an error. Default: a new id.',
  },
} as const;

/** The values of {@link queueArguments}. */
export interface QueueChoice {
  readonly redis?: string | undefined;
  readonly 'redis-ca'?: string | undefined;
  readonly 'redis-cert'?: string | undefined;
  readonly 'redis-key'?: string | undefined;
  readonly 'redis-server-name'?: string | undefined;
  readonly queue?: string | undefined;
}

/**
 * Connects to a queue, calls `work`, and closes the connection. Enables tracing if the environment variables for it are
 * set.
 */
export async function withQueue<T>(choice: QueueChoice, work: (runtime: QueueRuntime) => Promise<T>): Promise<T> {
  const [{ queueRuntime }, { startTracing }] = await Promise.all([
    import('@sentvec/queue/producer'),
    import('@sentvec/worker/tracing'),
  ]);
  const chosen = (setting: SettingName): string | undefined => {
    const { flag, variable } = settings[setting];
    return choice[flag as keyof QueueChoice] ?? (process.env[variable] || undefined);
  };
  const tracing = await startTracing('sentvec-cli');
  try {
    const runtime = await queueRuntime({
      url: chosen('redis'),
      tls: {
        caFile: chosen('redisCa'),
        certFile: chosen('redisCert'),
        keyFile: chosen('redisKey'),
        serverName: chosen('redisServerName'),
      },
      queue: chosen('queue'),
      ...(tracing && { telemetry: tracing.telemetry }),
    });
    try {
      return await work(runtime);
    } finally {
      await runtime.close();
    }
  } finally {
    await tracing?.close();
  }
}

/** Finds the run that a command line names. @throws UsageError; SentvecError `run-not-found` */
export async function namedRun(runtime: Runtime, positionals: readonly string[]): Promise<RunHandle> {
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0)
    throw new UsageError('Give the id of one run. To list them: sentvec queue list');
  const run = await runtime.find(id);
  if (run) return run;
  throw new SentvecError(
    'run-not-found',
    `There is no run ${id.slice(0, 100)} in this queue. To list the runs: sentvec queue list`,
    { run: id },
  );
}
