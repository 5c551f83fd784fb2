// Shared by all commands that use a queue: flags, the connection, and finding a run by its id.
import { SentvecError } from '@sentvec/platform';
import type { QueueRuntime } from '@sentvec/queue/producer';
import type { RunHandle, Runtime } from '@sentvec/workflow';
import { UsageError } from '../usage-error.ts';

/** Flags of all commands that use a queue. Environment variables set their defaults. */
export const queueArguments = {
  redis: { type: 'string', valueHint: 'URL', description: 'Default: SENTVEC_REDIS_URL, else redis://127.0.0.1:6379.' },
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
  readonly queue?: string | undefined;
}

/**
 * Connects to a queue, calls `work`, and closes the connection. Enables tracing if the environment variables for it are
 * set.
 */
export async function withQueue<T>(
  { redis, queue }: QueueChoice,
  work: (runtime: QueueRuntime) => Promise<T>,
): Promise<T> {
  const [{ queueRuntime }, { startTracing }] = await Promise.all([
    import('@sentvec/queue/producer'),
    import('@sentvec/worker/tracing'),
  ]);
  const url = redis ?? process.env['SENTVEC_REDIS_URL'];
  const name = queue ?? process.env['SENTVEC_QUEUE'];
  const tracing = await startTracing('sentvec-cli');
  try {
    const runtime = await queueRuntime({
      ...(url && { url }),
      ...(name && { queue: name }),
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
