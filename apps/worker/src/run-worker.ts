import { once } from 'node:events';
import { pino } from 'pino';
import { describeConfiguration, type WorkerConfiguration } from './configuration.ts';
import { startWorkerApp, type WorkerAppOptions } from './worker-app.ts';

/** Options of {@link runWorker}. */
export interface RunWorkerOptions extends Pick<WorkerAppOptions, 'backend' | 'selfCheck'> {
  /** Stops the worker when it fires. */
  readonly signal: AbortSignal;
}

/**
 * Serves a queue until the signal fires, then stops gracefully. Logs one JSON object a line to standard error: first
 * the configuration, without secrets, and the URL of its HTTP server. The process ends a second after that at most.
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
  const app = await startWorkerApp(configuration, { logger, ...computing });
  logger.info({ url: app.url, pid: process.pid }, 'serving');
  if (!signal.aborted) await once(signal, 'abort');
  logger.info({ milliseconds: configuration.stopTimeout }, 'stopping');
  await app.stop();
  logger.info({}, 'stopped');
  // What cannot be closed, such as a connection to a Redis that is away, must not keep the process alive.
  setTimeout(() => process.exit(), 1000).unref();
}
