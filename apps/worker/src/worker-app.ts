import { onnx } from '@sentvec/backend-onnx';
import type { Backend, PoolingPlugin } from '@sentvec/core';
import { loadEmbedder, openModel } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import {
  connectRedis,
  isDurable,
  QueueOverview,
  queueRuntime,
  startQueueWorker,
  type QueueWorker,
} from '@sentvec/queue';
import { embedCorpusWorkflow, restrictAccess, type Logger } from '@sentvec/workflow';
import type { WorkerConfiguration } from './configuration.ts';
import { HealthCheck } from './health.ts';
import { announce } from './heartbeat.ts';
import { listen, routes } from './http/server.ts';
import { Metrics } from './metrics.ts';
import { ModelShelf } from './model-shelf.ts';
import { loadPlugins } from './plugins.ts';
import { startTracing } from './tracing.ts';
import { WorkObserver } from './work-observer.ts';

/** What {@link startWorkerApp} takes besides its configuration. */
export interface WorkerAppOptions {
  readonly logger: Logger;
  /** What computes. Default: onnxruntime, with the configured threads. */
  readonly backend?: Backend;
  /** Whether a model is refused when the backend computes something else than the model says. Default: true. */
  readonly selfCheck?: boolean;
}

/** A worker that serves. */
export interface WorkerApp {
  /** Where its HTTP server listens. */
  readonly url: string;
  /**
   * Finishes or gives back what is in progress, within the configured time, and frees everything. May be called again.
   */
  stop(): Promise<void>;
}

/** What has to be undone when the worker stops, or when it cannot start: the latest first. */
type Undo = (() => Promise<unknown>)[];

/**
 * Starts a worker with everything around it: models, plugins, HTTP server, metrics, traces.
 *
 * @throws SentvecError `queue-unavailable`, `invalid-argument` for a plugin, `io-failed` for a taken port
 */
export async function startWorkerApp(
  configuration: WorkerConfiguration,
  options: WorkerAppOptions,
): Promise<WorkerApp> {
  const undo: Undo = [];
  const stop = async () => {
    for (const step of undo.splice(0).toReversed()) {
      await step().catch((error: unknown) => options.logger.warn({ error }, 'stopping left something behind'));
    }
  };
  try {
    return { url: await start(configuration, options, undo), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(
  configuration: WorkerConfiguration,
  { logger, backend, selfCheck }: WorkerAppOptions,
  undo: Undo,
): Promise<string> {
  const { redis: url, queue, models, token } = configuration;
  const tracing = await startTracing('sentvec-worker');
  if (tracing) undo.push(tracing.close);
  const telemetry = tracing && { telemetry: tracing.telemetry };
  const redis = await connectRedis(url, 'watcher');
  undo.push(async () => redis.disconnect());
  if (!(await isDurable(redis)))
    logger.warn({}, 'this Redis has no append-only file: a crash of it loses runs. Set appendonly yes.');
  const overview = new QueueOverview(redis, queue);
  undo.push(() => overview.close());
  const runtime = await queueRuntime({ url, queue, ...telemetry });
  undo.push(() => runtime.close());

  const metrics = new Metrics(overview);
  const poolings: PoolingPlugin[] = [];
  const shelf = modelShelf(configuration, { backend, selfCheck, poolings, metrics, logger });
  undo.push(() => shelf.close());
  const access = restrictAccess(configuration);
  const embedder = async (model: string) => {
    access.checkModel(model);
    return shelf.get(model);
  };
  const plugins = await loadPlugins(configuration.plugins, { embedder, access, logger });
  poolings.push(...plugins.poolings);

  let worker: QueueWorker | undefined;
  const isServing = () => worker?.isServing ?? false;
  const health = new HealthCheck(models[0] ?? 'use-lite', shelf.get);
  const app = routes({ queue, isServing, runtime, overview, metrics, health, token, logger });
  const server = await listen(app, configuration.host, configuration.port);
  undo.push(server.close);

  const observer = new WorkObserver(metrics);
  const workflows = [embedCorpusWorkflow({ embedder, access }), ...plugins.workflows];
  const { concurrency, window, rateLimit, globalConcurrency, stopTimeout } = configuration;
  worker = await startQueueWorker({
    url,
    queue,
    workflows,
    concurrency,
    window,
    logger,
    observer,
    ...(rateLimit && { rateLimit }),
    ...telemetry,
  });
  const { id } = worker;
  undo.push(async () => worker?.stop(stopTimeout));
  if (globalConcurrency !== undefined)
    await overview.limitConcurrency(globalConcurrency === 0 ? undefined : globalConcurrency);
  undo.push(announce(overview, () => ({ id, concurrency, active: observer.active, counts: metrics.counts })));
  return server.url;
}

interface ShelfParts {
  readonly backend: Backend | undefined;
  readonly selfCheck: boolean | undefined;
  readonly poolings: readonly PoolingPlugin[];
  readonly metrics: Metrics;
  readonly logger: Logger;
}

function modelShelf(
  { threads }: WorkerConfiguration,
  { backend, selfCheck, poolings, metrics, logger }: ShelfParts,
): ModelShelf {
  return new ModelShelf({
    open: (model, signal) => (model === 'use-lite' ? useLite({ signal }) : openModel(model, { signal })),
    load: (files, loadOptions) => loadEmbedder(files, { selfCheck, ...loadOptions }),
    backend: backend ?? onnx(threads === undefined ? {} : { sessions: threads, threadsPerSession: 1 }),
    poolings,
    embedded: (_model, embedded) => metrics.embedded(embedded),
    onWarning: (message) => logger.warn({}, message),
  });
}
