// Runs a worker process: starts it, serves until it receives a stop signal, and exits before the deadline.
import { once } from 'node:events';
import { onAbort, SentvecError } from '@sentvec/platform';
import { endProcess, startThread } from '@sentvec/platform/node';
import { pino, type Logger } from 'pino';
import { describeConfiguration, type WorkerConfiguration } from './configuration.ts';
import type { DeadlineProtocol } from './deadline-thread.ts';
import { startWorkerApp, type WorkerAppOptions } from './worker-app.ts';

/** Options of {@link runWorker}. */
export interface RunWorkerOptions extends Pick<WorkerAppOptions, 'backend' | 'selfCheck'> {
  /** Aborting this signal stops the worker. */
  readonly signal: AbortSignal;
}

/**
 * Serves a queue until the signal is aborted, then stops gracefully. Logs to standard error, one JSON object per line;
 * the first line has the configuration, without secrets, and the URL of the HTTP server.
 *
 * After the signal, the process exits within the stop timeout. If something hangs (a step that ignores its signal, the
 * opening of a FIFO, an unreachable mount, a blocked event loop), a thread kills the process at the deadline.
 *
 * @throws SentvecError see {@link startWorkerApp}
 */
export async function runWorker(
  configuration: WorkerConfiguration,
  { signal, ...computing }: RunWorkerOptions,
): Promise<void> {
  const options = {
    level: configuration.logLevel,
    base: { service: 'sentvec-worker' },
    serializers: { error: pino.stdSerializers.err },
  };
  const logger = pino(options, pino.destination({ fd: 2, sync: true }));
  logger.info({ configuration: describeConfiguration(configuration) }, 'starting');
  onAbort(signal, () => startDeadline(configuration.stopTimeout, logger));
  const app = await startUntil(signal, () => startWorkerApp(configuration, { logger, signal, ...computing }));
  if (app) {
    logger.info({ url: app.url, pid: process.pid }, 'serving');
    if (!signal.aborted) await once(signal, 'abort');
    logger.info({ milliseconds: configuration.stopTimeout }, 'stopping');
    await app.stop();
  }
  logger.info({}, 'stopped');
  // A connection that cannot be closed, such as one to an unreachable Redis, must not keep the process alive.
  setTimeout(() => void endProcess(), 500).unref();
}

/** Returns the result of `start`, or `undefined` if the signal is aborted first. */
async function startUntil<T>(signal: AbortSignal, start: () => Promise<T>): Promise<T | undefined> {
  try {
    return await start();
  } catch (error) {
    if (signal.aborted && SentvecError.is(error, 'aborted')) return undefined;
    throw error;
  }
}

function startDeadline(milliseconds: number, logger: Logger): void {
  const fields = { level: 50, time: Date.now() + milliseconds, service: 'sentvec-worker', milliseconds };
  const lastWords = `${JSON.stringify({ ...fields, msg: 'killed: the worker did not stop before its deadline' })}\n`;
  startThread<DeadlineProtocol>(new URL('deadline-thread.js', import.meta.url), {
    name: 'deadline',
    data: { milliseconds, lastWords },
  }).catch((error: unknown) => logger.error({ error }, 'could not start the thread that enforces the stop deadline'));
}
