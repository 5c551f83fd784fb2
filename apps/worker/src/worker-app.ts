// Assembles a worker from the queue's worker, models, plugins, HTTP server, metrics and traces.
import type { Backend, Embedder, PoolingPlugin } from '@sentvec/core';
import { throwIfAborted } from '@sentvec/platform';
import {
  connectRedis,
  isDurable,
  QueueOverview,
  queueRuntime,
  startQueueWorker,
  type QueueWorker,
} from '@sentvec/queue';
import { openVectorCache } from '@sentvec/core/node';
import { embedCorpusWorkflow, restrictAccess, type EmbedderOf, type Logger } from '@sentvec/workflow';
import { importBackend, isBackendModule, type BackendModule } from './backend-module.ts';
import type { WorkerConfiguration } from './configuration.ts';
import { HealthCheck } from './health.ts';
import { listen, routes } from './http/server.ts';
import { IsolatedEmbedding } from './isolated-embedding.ts';
import { Metrics } from './metrics.ts';
import { CachedModels, ModelRegistry } from './model-registry.ts';
import { loadPlugins } from './plugins.ts';
import { startTracing } from './tracing.ts';

/** Options of {@link startWorkerApp}. */
export interface WorkerAppOptions {
  readonly logger: Logger;
  /**
   * A backend, or a module that creates one. With a module, a chunk that has crashed its worker twice is embedded in a
   * separate process, which needs its own backend.
   *
   * @default onnxruntime, with the configured threads
   */
  readonly backend?: Backend | BackendModule | undefined;
  /**
   * Whether loading a model fails if the results of the backend do not match its self-check.
   *
   * @default true
   */
  readonly selfCheck?: boolean | undefined;
  /** Aborts the start, before the worker accepts a job. Use `stop` to stop a worker that has started. */
  readonly signal?: AbortSignal | undefined;
}

/** A running worker. */
export interface WorkerApp {
  /** URL of its HTTP server. */
  readonly url: string;
  /**
   * Waits for the active steps within the configured time, returns unfinished ones to the queue, and frees all
   * resources. Calling it again has no further effect.
   */
  stop(): Promise<void>;
}

/** How long a starting worker waits for Redis, in milliseconds. */
const connectTimeout = 15_000;

/** Functions to call, in reverse order, when the worker stops or fails to start. */
type Cleanups = (() => Promise<unknown>)[];

/**
 * Starts a worker with its models, plugins, HTTP server, metrics and traces.
 *
 * @throws SentvecError `queue-unavailable`; `invalid-argument` for a plugin; `io-failed` if the port is in use;
 * `aborted`
 */
export async function startWorkerApp(
  configuration: WorkerConfiguration,
  options: WorkerAppOptions,
): Promise<WorkerApp> {
  const cleanups: Cleanups = [];
  const stop = async () => {
    for (const cleanup of cleanups.splice(0).toReversed()) {
      await cleanup().catch((error: unknown) => options.logger.warn({ error }, 'closing a resource failed'));
    }
  };
  try {
    return { url: await start(configuration, options, cleanups), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(
  configuration: WorkerConfiguration,
  { logger, backend = onnxModule(configuration), selfCheck, signal }: WorkerAppOptions,
  cleanups: Cleanups,
): Promise<string> {
  const { redis: url, tls, queue, models, token, cache } = configuration;
  const tracing = await startTracing('sentvec-worker');
  if (tracing) cleanups.push(tracing.close);
  const telemetry = tracing && { telemetry: tracing.telemetry };
  const redis = await connectRedis(url, 'watcher', { timeout: connectTimeout, tls, signal });
  cleanups.push(async () => redis.disconnect());
  if (!(await isDurable(redis)))
    logger.warn(
      {},
      'this Redis does not write an append-only file, so it loses runs when it crashes: set appendonly yes',
    );
  const overview = new QueueOverview(redis, queue);
  cleanups.push(() => overview.close());
  const runtime = await queueRuntime({ url, tls, queue, connectTimeout, ...telemetry });
  cleanups.push(() => runtime.close());

  let worker: QueueWorker | undefined;
  const metrics = new Metrics(overview);
  const poolings: PoolingPlugin[] = [];
  const registry = new ModelRegistry({
    backend: isBackendModule(backend) ? await importBackend(backend) : backend,
    poolings,
    selfCheck,
    onReceipt: (receipt) => metrics.embedded(receipt),
    onWarning: (message) => logger.warn({}, message),
    onServed: () => void worker?.modelsChanged(),
  });
  cleanups.push(() => registry.close());
  const cached = cache === undefined ? undefined : new CachedModels(await openVectorCache(cache));
  if (cached) cleanups.push(() => cached.close());
  const access = restrictAccess(configuration);
  const isolation = new Map<string, IsolatedEmbedding>();
  cleanups.push(async () => void (await Promise.all([...isolation.values()].map((each) => each.close()))));
  const embedder: EmbedderOf = async (model, { isolated = false } = {}) => {
    access.checkModel(model);
    const loaded = await registry.get(model);
    if (!isolated || !isBackendModule(backend)) return cached?.of(model, loaded) ?? loaded;
    const isolating = isolation.get(model) ?? new IsolatedEmbedding({ model, backend, selfCheck, configuration });
    isolation.set(model, isolating);
    return loaded.kind === 'sparse' ? isolating.isolateSparse(loaded) : isolating.isolate(loaded);
  };
  const dense = async (model: string): Promise<Embedder> => {
    access.checkModel(model);
    return registry.getDense(model);
  };
  throwIfAborted(signal);
  const plugins = await loadPlugins(configuration.plugins, { embedder: dense, access, logger });
  poolings.push(...plugins.poolings);

  const isServing = () => worker?.isServing ?? false;
  const health = new HealthCheck(models[0] ?? 'use-lite', registry.get);
  const app = routes({ queue, isServing, runtime, overview, metrics, health, token, logger });
  const server = await listen(app, configuration.host, configuration.port);
  cleanups.push(server.close);

  const retry = { totalTime: configuration.retryTime };
  const own = embedCorpusWorkflow({ embedder, access, retry });
  const isReplaced = plugins.workflows.some(({ id }) => id === own.id);
  const workflows = isReplaced ? plugins.workflows : [own, ...plugins.workflows];
  const { concurrency, window, rateLimit, globalConcurrency, stopTimeout } = configuration;
  if (rateLimit !== undefined) await overview.limitRate(rateLimit ?? undefined);
  if (globalConcurrency !== undefined)
    await overview.limitConcurrency(globalConcurrency === 0 ? undefined : globalConcurrency);
  throwIfAborted(signal);
  // Jobs that need a model come as soon as it is known; what is loaded is not waited for.
  void registry.serve(models);
  worker = await startQueueWorker({
    url,
    tls,
    queue,
    workflows,
    concurrency,
    window,
    models: () => registry.served,
    logger,
    observer: metrics,
    counts: () => metrics.counts,
    ...telemetry,
  });
  cleanups.push(async () => worker?.stop(stopTimeout));
  return server.url;
}

function onnxModule({ threads }: WorkerConfiguration): BackendModule {
  return { module: new URL('onnx-backend.js', import.meta.url).href, options: { threads } };
}
