// The process of a worker: it starts, serves until it is asked to stop, and ends by its deadline.
import { once } from 'node:events';
import { onAbort, SentvecError } from '@sentvec/platform';
import { endProcess, startThread } from '@sentvec/platform/node';
import { pino, type Logger } from 'pino';
import { describeConfiguration, type WorkerConfiguration } from './configuration.ts';
import type { DeadlineProtocol } from './deadline-thread.ts';
import { startWorkerApp, type WorkerAppOptions } from './worker-app.ts';

/** Options of {@link runWorker}. */
export interface RunWorkerOptions extends Pick<WorkerAppOptions, 'backend' | 'selfCheck'> {
  /** Stops the worker when it fires. */
  readonly signal: AbortSignal;
}

/**
 * Serves a queue until the signal fires, then stops gracefully. Logs one JSON object a line to standard error: first
 * the configuration, without secrets, and the URL of its HTTP server.
 *
 * The process ends within the stop timeout after the signal, whatever hangs: a step that ignores its signal, the
 * opening of a FIFO, a mount that is away, a blocked event loop. It is killed if it must be.
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
  // What cannot be closed, such as a connection to a Redis that is away, must not keep the process alive.
  setTimeout(() => void endProcess(), 500).unref();
}

/** What starts, or `undefined` when the signal fires before. */
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
  const lastWords = `${JSON.stringify({ ...fields, msg: 'killed: something did not end before the deadline' })}\n`;
  startThread<DeadlineProtocol>(new URL('deadline-thread.js', import.meta.url), {
    name: 'deadline',
    data: { milliseconds, lastWords },
  }).catch((error: unknown) => logger.error({ error }, 'no deadline could be set'));
}
