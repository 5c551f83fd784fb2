import { once } from 'node:events';
import { pino } from 'pino';
import { describeConfiguration, type WorkerConfiguration } from './configuration.ts';
import { startWorkerApp, type WorkerAppOptions } from './worker-app.ts';

/** Options of {@link runWorker}. */
export interface RunWorkerOptions extends Pick<WorkerAppOptions, 'backend' | 'selfCheck'> {
  /** Fires when the worker is to stop. */
  readonly signal: AbortSignal;
}

/**
 * Serves until the signal fires, and stops gracefully. Writes one JSON object a line to standard error: what it was
 * configured to do, without secrets; where it listens; then what happens. The process ends a second later at most.
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
  // Nothing that cannot be closed, such as a connection to a Redis that is away, may keep the process.
  setTimeout(() => process.exit(), 1000).unref();
}
