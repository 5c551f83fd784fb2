// The HTTP server of a worker: health, metrics, the dashboard and its API, bull-board.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { HonoAdapter } from '@bull-board/hono';
import { createAdaptorServer, type ServerType } from '@hono/node-server';
import { serveStatic } from '@hono/node-server/serve-static';
import { SentvecError } from '@sentvec/core';
import { guardIo } from '@sentvec/platform/node';
import type { QueueOverview, RefusedJob, StepCounts, WorkerFacts } from '@sentvec/queue';
import type { Logger, RunStatus, Runtime } from '@sentvec/workflow';
import type { Queue } from 'bullmq';
import { Hono, type Context } from 'hono';
import type { HealthCheck } from '../health.ts';
import type { Metrics } from '../metrics.ts';
import { guard, isSafe, limitBody } from './guard.ts';

/** Dependencies of the HTTP server. */
export interface ServerParts {
  readonly queue: string;
  /** Whether the worker accepts jobs. */
  readonly isServing: () => boolean;
  readonly runtime: Runtime;
  readonly overview: QueueOverview;
  readonly metrics: Metrics;
  readonly health: HealthCheck;
  readonly token: string | undefined;
  readonly logger: Logger;
}

/** The data that the dashboard shows, read at one moment. Serializable as JSON. */
export interface DashboardOverview {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly queue: string;
  readonly steps: StepCounts;
  /** Newest first. */
  readonly runs: readonly RunStatus[];
  readonly workers: readonly WorkerFacts[];
  /** Newest first. */
  readonly refusedJobs: readonly RefusedJob[];
}

const shownRuns = 50;
const shownRefusedJobs = 20;
const contentSecurity =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'";
/**
 * Content security policy for bull-board, which needs inline styles. It forbids the fonts that bull-board would load
 * from another host. */
const boardSecurity = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'self'";
const actions = ['pause', 'resume', 'cancel', 'replay'] as const;
const assets = {
  '/': ['dashboard.html', 'text/html'],
  '/dashboard.js': ['dashboard.js', 'text/javascript'],
  '/dashboard.css': ['dashboard.css', 'text/css'],
};

/** Creates the routes of the worker's HTTP server. */
export function routes(parts: ServerParts): Hono {
  const app = new Hono({ strict: false });
  app.use(limitBody, guard(parts.token));
  app.get('/healthz', async (context) => {
    const health = await parts.health.check();
    return context.json(health, health.healthy ? 200 : 503);
  });
  app.get('/readyz', (context) => {
    const ready = parts.isServing();
    return context.json({ ready }, ready ? 200 : 503);
  });
  app.get('/metrics', async (context) => {
    context.header('Content-Type', parts.metrics.registry.contentType);
    return context.body(await parts.metrics.registry.metrics());
  });
  app.get('/api/overview', async (context) => context.json(await readOverview(parts)));
  app.get('/api/runs/:id/dead-letters', async (context) =>
    context.json(await (await runOf(context, parts)).deadLetters()),
  );
  app.get('/api/runs/:id/failed-items', async (context) =>
    context.json(await (await runOf(context, parts)).failedItems()),
  );
  for (const action of actions) {
    app.post(`/api/runs/:id/${action}`, async (context) => {
      const run = await runOf(context, parts);
      const attempt = context.req.query('attempt');
      if (attempt !== undefined && Number(attempt) !== run.attempt) {
        throw new SentvecError(
          'invalid-argument',
          `Run ${run.id} is at attempt ${run.attempt}, not ${attempt}: reload the page.`,
        );
      }
      if (action === 'replay') await run.replay({ items: context.req.queries('item') });
      else await run[action]();
      return context.body(null, 204);
    });
  }
  for (const [path, [file, type]] of Object.entries(assets)) {
    app.get(path, async (context) => {
      context.header('Content-Security-Policy', contentSecurity);
      return context.body(await readFile(new URL(`../../assets/${file}`, import.meta.url), 'utf8'), 200, {
        'Content-Type': `${type}; charset=utf-8`,
      });
    });
  }
  const board = bullBoard(parts.overview, '/queues');
  app.use('/queues/*', async (context, next) => {
    // In read-only mode bull-board refuses the changes that it knows. This also covers any that a later version may
    // add.
    if (!isSafe(context.req.method))
      return context.text('This view is read-only. Use the dashboard to control runs.\n', 405);
    context.header('Content-Security-Policy', boardSecurity);
    await board.refresh();
    return next();
  });
  app.route('/queues', board.routes);
  app.onError((error, context) => {
    const status = SentvecError.is(error, 'run-not-found')
      ? 404
      : SentvecError.is(error, 'invalid-argument')
        ? 409
        : 503;
    parts.logger.warn({ path: context.req.path, error: error.message }, 'a request failed');
    return context.json({ error: error.message }, status);
  });
  return app;
}

/** Starts listening. @throws SentvecError `io-failed` if the port is in use */
export async function listen(
  app: Hono,
  host: string,
  port: number,
): Promise<{ url: string; close: () => Promise<void> }> {
  const server: ServerType = createAdaptorServer({ fetch: app.fetch });
  server.listen(port, host);
  await guardIo('Listening', `${host}:${port}`, () => once(server, 'listening'), 'You can also choose another `port`.');
  const { address, port: boundPort, family } = server.address() as AddressInfo;
  const close = async () => {
    const closed = once(server, 'close');
    server.close();
    if ('closeAllConnections' in server) server.closeAllConnections();
    await closed;
  };
  return { url: `http://${family === 'IPv6' ? `[${address}]` : address}:${boundPort}`, close };
}

async function readOverview({ queue, runtime, overview }: ServerParts): Promise<DashboardOverview> {
  const [steps, runs, workers, refusedJobs] = await Promise.all([
    overview.counts(),
    runtime.list({ limit: shownRuns }),
    overview.workers(),
    overview.refusedJobs(shownRefusedJobs),
  ]);
  return { now: Date.now(), queue, steps, runs, workers, refusedJobs };
}

/** Mounts bull-board for the BullMQ queues in read-only mode, because runs are controlled from the dashboard. */
function bullBoard(overview: QueueOverview, path: string): { routes: Hono; refresh: () => Promise<void> } {
  const server = new HonoAdapter(serveStatic);
  server.setBasePath(path);
  const shown = new Set<string>();
  const adapters = (queues: readonly Queue[]) =>
    queues.flatMap((queue) => {
      if (shown.has(queue.name)) return [];
      shown.add(queue.name);
      return [new BullMQAdapter(queue, { readOnlyMode: true })];
    });
  const { addQueue } = createBullBoard({
    queues: adapters(Object.values(overview.queues)),
    serverAdapter: server,
    options: { uiConfig: { boardTitle: 'sentvec queues' } },
  });
  // If Redis is unreachable, the known queues are shown.
  const refresh = async () => adapters(await overview.modelQueues().catch(() => [])).forEach(addQueue);
  return { routes: server.registerPlugin(), refresh };
}

async function runOf(context: Context, { runtime }: ServerParts) {
  const id = context.req.param('id') ?? '';
  const run = await runtime.find(id);
  if (!run) throw new SentvecError('run-not-found', `The run ${id.slice(0, 100)} does not exist.`);
  return run;
}
