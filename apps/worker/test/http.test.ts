import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { onnx } from '@sentvec/backend-onnx';
import type { Backend, Encoder } from '@sentvec/core';
import { connectRedis, QueueOverview, queueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow, silentLogger } from '@sentvec/workflow';
import { readConfiguration, startWorkerApp, type WorkerApp } from '@sentvec/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { breakable, type BreakableBackend } from './breakable-backend.ts';
import { Fleet, texts, tinyModel } from './fleet.ts';

const token = 'a token of these tests';
let fleet: Fleet;
let backend: BreakableBackend;
let guarded: WorkerApp;
let open: WorkerApp;

beforeAll(async () => {
  fleet = await Fleet.open();
  backend = breakable(onnx({ sessions: 1, threadsPerSession: 1 }));
  await mkdir(fleet.path('root'));
  const flags = { redis: fleet.redis.url, root: fleet.path('root'), model: tinyModel, port: '0' };
  guarded = await startWorkerApp(readConfiguration({ ...flags, host: '0.0.0.0', token }, {}), {
    logger: silentLogger,
    backend,
  });
  open = await startWorkerApp(readConfiguration({ ...flags, queue: 'open' }, {}), { logger: silentLogger, backend });
});

afterAll(async () => {
  await guarded.stop();
  await open.stop();
  await fleet.close();
});

const here = (app: WorkerApp) => app.url.replace('0.0.0.0', '127.0.0.1');

/** Sends a request with headers that `fetch` does not allow to set, and returns the status. */
async function statusOf(
  app: WorkerApp,
  path: string,
  headers: Record<string, string>,
  method = 'GET',
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    httpRequest(`${here(app)}${path}`, { method, headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

/**
 * Sends raw bytes, then `more` repeatedly until the server closes the connection. Returns the status and the number of
 * sent bytes.
 */
async function answerTo(app: WorkerApp, head: string, more = ''): Promise<{ status: number; sent: number }> {
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
  let [answer, sent] = ['', 0];
  socket.on('data', (bytes) => (answer += String(bytes)));
  socket.write(`${head}\r\n\r\n`);
  const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()).on('error', () => {}));
  const send = () => {
    while (!socket.destroyed && sent < 50_000_000 && socket.write(more)) sent += more.length;
  };
  socket.on('drain', send);
  if (more !== '') send();
  await ended;
  return { status: Number(answer.split(' ')[1]), sent };
}

describe('health', () => {
  it('embeds a text, and responds with 503 if the model fails', async () => {
    const health = async () => {
      const response = await fetch(`${here(open)}/healthz`);
      return { status: response.status, ...((await response.json()) as object) };
    };
    expect(await health()).toMatchObject({ status: 200, healthy: true, model: tinyModel });
    backend.broken = true;
    expect(await health()).toMatchObject({ status: 503, healthy: false, reason: expect.stringContaining('broken') });
    backend.broken = false;
    expect(await health()).toMatchObject({ status: 200, healthy: true });
  });

  it('responds with 503 if the backend fails the self-check, unless the self-check is off', async () => {
    const sound = onnx({ sessions: 1, threadsPerSession: 1 });
    const wrong: Backend = {
      ...sound,
      load: async (files, options) => {
        const encoder = await sound.load(files, options);
        const encode: Encoder['encode'] = async (batch) => {
          const tokens = await encoder.encode(batch);
          return { ...tokens, data: tokens.data.map((entry) => entry + 1) };
        };
        const { hiddenSize, maxPositions, concurrency, batchTokens } = encoder;
        return { hiddenSize, maxPositions, concurrency, batchTokens, encode, dispose: () => encoder.dispose() };
      },
    };
    const flags = { redis: fleet.redis.url, root: fleet.path('root'), model: tinyModel, port: '0', queue: 'wrong' };
    for (const [selfCheck, status] of [
      [true, 503],
      [false, 200],
    ] as const) {
      const app = await startWorkerApp(readConfiguration(flags, {}), {
        logger: silentLogger,
        backend: wrong,
        selfCheck,
      });
      expect((await fetch(`${here(app)}/healthz`)).status).toBe(status);
      await app.stop();
    }
  });

  it('/readyz responds with 200 while the worker accepts jobs', async () => {
    const response = await fetch(`${here(open)}/readyz`);
    expect([response.status, await response.json()]).toEqual([200, { ready: true }]);
  });

  it('has counters for Prometheus', async () => {
    const runtime = await queueRuntime({ url: fleet.redis.url, queue: 'open' });
    await writeFile(
      fleet.path('root/counted.jsonl'),
      texts(40)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    );
    const request = { inputs: [fleet.path('root/counted.jsonl')], output: fleet.path('root/counted') };
    await (await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request })).result();
    await runtime.close();
    const text = await (await fetch(`${here(open)}/metrics`)).text();
    for (const line of [
      'sentvec_rows_total 40',
      /sentvec_tokens_total [1-9]/,
      /sentvec_truncated_total \d/,
      'sentvec_dead_letters_total 0',
      /sentvec_batch_fill_count [1-9]/,
      'sentvec_queue_depth{state="waiting"} 0',
      /sentvec_step_seconds_count\{stage="embed"\} 1/,
      /sentvec_model_seconds_count [1-9]/,
      /nodejs_eventloop_lag_p99_seconds /,
    ]) {
      expect(text).toMatch(line);
    }
  });
});

describe('a Redis that cannot be reached', () => {
  it('does not prevent a worker from serving its metrics or from stopping', async () => {
    const ownFleet = await Fleet.open();
    const worker = await ownFleet.start();
    const statusAt = async (path: string) =>
      (await fetch(worker.url + path, { signal: AbortSignal.timeout(60_000) })).status;
    await ownFleet.redis.kill();
    await expect.poll(() => statusAt('/readyz'), { timeout: 60_000 }).toBe(503);
    expect(await statusAt('/healthz')).toBe(200);
    expect(await statusAt('/metrics')).toBe(200);
    expect(await statusAt('/api/overview')).toBe(503);
    await ownFleet.redis.restart();
    await expect.poll(() => statusAt('/readyz'), { timeout: 60_000 }).toBe(200);
    await ownFleet.redis.kill();
    worker.process.kill('SIGTERM');
    expect(await worker.ended).toBe(0);
    expect(worker.log.at(-1)?.msg).toBe('stopped');
    await ownFleet.close();
  });
});

describe('access', () => {
  const paths = [
    '/',
    '/dashboard.js',
    '/healthz',
    '/readyz',
    '/metrics',
    '/api/overview',
    '/queues',
    '/queues/api/queues',
  ];

  it('if a token is configured, is granted only to clients that send it', async () => {
    for (const path of paths) {
      expect(await statusOf(guarded, path, {})).toBe(401);
      expect(await statusOf(guarded, path, { Authorization: 'Bearer guess' })).toBe(401);
      for (const scheme of ['Bearer', 'bearer', 'BEARER '])
        expect(await statusOf(guarded, path, { Authorization: `${scheme} ${token}` })).toBe(200);
    }
    const first = await fetch(`${here(guarded)}/?token=${encodeURIComponent(token)}`, { redirect: 'manual' });
    expect(first.status).toBe(302);
    expect(first.headers.get('location')).toBe('/');
    const cookie = first.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/HttpOnly.*SameSite=Strict|SameSite=Strict.*HttpOnly/);
    expect(cookie).not.toContain('Secure');
    for (const header of ['X-Forwarded-Proto: https', 'Forwarded: for=1.2.3.4;proto=https']) {
      const [name = '', value = ''] = header.split(': ');
      const behindTls = await fetch(`${here(guarded)}/?token=${encodeURIComponent(token)}`, {
        headers: { [name]: value },
        redirect: 'manual',
      });
      expect(behindTls.headers.get('set-cookie')).toMatch(/; Secure/);
    }
    for (const path of ['//evil.example/', '///evil.example/', '/\\\\evil.example/', '/%5Cevil.example/']) {
      const elsewhere = await fetch(`${here(guarded)}${path}?token=${encodeURIComponent(token)}`, {
        redirect: 'manual',
      });
      const location = elsewhere.headers.get('location') ?? '';
      expect(new URL(location, here(guarded)).origin).toBe(here(guarded));
    }
    expect(await statusOf(guarded, '/', { Cookie: cookie.split(';')[0]! })).toBe(200);
    expect(await statusOf(guarded, `/api/runs/x/cancel?token=${encodeURIComponent(token)}`, {}, 'POST')).toBe(401);
  });

  it('without a token, is granted only under loopback host names', async () => {
    expect(await statusOf(open, '/', {})).toBe(200);
    expect(await statusOf(open, '/', { Host: 'localhost:1' })).toBe(200);
    expect(await statusOf(open, '/', { Host: 'evil.example' })).toBe(421);
    const closing = 'Connection: close';
    expect((await answerTo(open, `GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n${closing}`)).status).toBe(200);
    const absolute = `GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n${closing}`;
    expect((await answerTo(open, absolute)).status).toBe(421);
    expect(() => readConfiguration({ host: '0.0.0.0' }, {})).toThrow(/--token \(SENTVEC_TOKEN\) is required/);
    expect(() => readConfiguration({ host: '0.0.0.0', token: 'short' }, {})).toThrow(/16 characters/);
  });

  it('is refused to other web pages when a request would change something', async () => {
    expect(await statusOf(open, '/api/runs/x/cancel', { Origin: 'https://evil.example' }, 'POST')).toBe(403);
    expect(await statusOf(open, '/api/runs/x/cancel', { Origin: here(open) }, 'POST')).toBe(404);
    expect(await statusOf(open, '/api/runs/x/cancel', {}, 'POST')).toBe(404);
  });
});

it('bull-board refuses requests that would change a queue', async () => {
  const paths = ['pause', 'steps/pause', 'steps/add', 'steps/obliterate', 'steps/concurrency', 'runs/x/retry', 'new'];
  for (const path of paths)
    for (const method of ['PUT', 'POST', 'PATCH', 'DELETE'])
      expect(await statusOf(open, `/queues/api/queues/${path}`, {}, method)).toBe(405);
  expect(await statusOf(open, '/queues/api/queues', {})).toBe(200);
});

describe('a body that is too large', () => {
  const large = 'x'.repeat(65_536);

  it.each(['/api/runs/x/cancel', '/queues/api/queues/steps/add', '/', '/nowhere'])('is refused: %s', async (path) => {
    const head = `POST ${path} HTTP/1.1\r\nHost: localhost`;
    expect(await answerTo(open, `${head}\r\nContent-Length: 40000000`, large)).toMatchObject({ status: 413 });
    const chunk = `10000\r\n${large}\r\n`;
    const chunked = await answerTo(open, `${head}\r\nTransfer-Encoding: chunked`, chunk);
    expect(chunked.status).toBe(413);
    // The client could fill the buffers of the two sockets; the server read no more.
    expect(chunked.sent).toBeLessThan(20_000_000);
    const stranger = await answerTo(guarded, `${head}\r\nTransfer-Encoding: chunked`, chunk);
    expect(stranger.status).toBe(413);
    expect(stranger.sent).toBeLessThan(20_000_000);
  });
});

describe('the buttons of the dashboard', () => {
  it('act only on the attempt that the dashboard shows', async () => {
    const runtime = await queueRuntime({ url: fleet.redis.url, queue: 'open' });
    const request = { inputs: [fleet.path('root/absent.jsonl')], output: fleet.path('root/absent') };
    const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
    await run.result().catch(() => {});
    await run.replay();
    await run.result().catch(() => {});
    const replay = (attempt: string) => statusOf(open, `/api/runs/${run.id}/replay?attempt=${attempt}`, {}, 'POST');
    expect(await replay('1')).toBe(409);
    expect(await replay('two')).toBe(409);
    expect(await replay('2')).toBe(204);
    expect((await run.status()).attempt).toBe(3);
    await runtime.close();
  });
});

describe('jobs that name forbidden files or models', () => {
  it('are refused and recorded', async () => {
    await writeFile(fleet.path('secret.jsonl'), '{"text":"secret"}\n');
    await symlink(fleet.path('secret.jsonl'), fleet.path('root/link.jsonl'));
    await writeFile(fleet.path('root/good.jsonl'), '{"text":"good"}\n');
    const runtime = await queueRuntime({ url: fleet.redis.url });
    const connection = await connectRedis(fleet.redis.url, 'producer');
    const overview = new QueueOverview(connection, 'sentvec');
    const good = { inputs: [fleet.path('root/good.jsonl')], output: fleet.path('root/out') };
    const jobs: [RegExp, string, object][] = [
      [/not absolute/, tinyModel, { ...good, inputs: ['../../etc/passwd'] }],
      [/outside/, tinyModel, { ...good, inputs: [fleet.path('root/../../../../../../etc/passwd')] }],
      [/outside/, tinyModel, { ...good, inputs: [fleet.path('root/link.jsonl')] }],
      [/outside/, tinyModel, { ...good, output: '/etc/vectors' }],
    ];
    for (const [reason, model, request] of jobs) {
      const run = await runtime.start(embedCorpusWorkflow(), { model, request } as never);
      await expect(run.result()).rejects.toMatchObject({ code: 'job-refused', message: expect.stringMatching(reason) });
      expect((await overview.refusedJobs(1))[0]?.reason).toMatch(reason);
    }
    const other = await runtime.start(embedCorpusWorkflow(), { model: 'org/another-model', request: good });
    await expect
      .poll(async () => (await other.status()).notice)
      .toMatch(/needs model org\/another-model: no live worker serves it. They serve: /);
    await other.cancel();
    // A forged job, added to an active run, for a chunk that its plan does not have.
    const [steps] = await overview.modelQueues();
    await steps!.pause();
    const run = await runtime.start(embedCorpusWorkflow(), {
      model: tinyModel,
      request: { ...good, output: fleet.path('root/more') },
    });
    const place = { index: 0, start: 0, end: 9, firstRow: 0, firstInputRow: 0, rows: 1, firstLine: 1, bytes: 9 };
    const file = { bytes: 9, modified: 0, changed: 0, inode: 0 };
    const chunk = { input: 'x', path: '/etc/passwd', file, format: 'text', content: 'x', ...place };
    const value = { model: tinyModel, output: fleet.path('root/more'), key: '00000000', fingerprint: 'x', chunk };
    await steps!.add('embed', { run: run.id, attempt: 1, stage: 'embed', index: 7, value });
    await steps!.resume();
    // It is refused. The run, which did not add it, is not changed by it.
    await expect
      .poll(async () => JSON.stringify(await overview.refusedJobs(2)), { timeout: 20_000 })
      .toMatch(/etc\/passwd.*outside/);
    expect(await run.result()).toMatchObject({ rows: 1, rejected: 0 });
    expect(await run.failedItems()).toEqual([]);
    await overview.queues.steps.add('x', {
      run: 'r',
      attempt: 1,
      stage: 'embed',
      index: 0,
      value: 'x'.repeat(10_000_000),
    });
    await expect.poll(async () => (await overview.refusedJobs(1))[0]?.reason, { timeout: 10_000 }).toMatch(/bytes/);
    const oversize = runtime.start(embedCorpusWorkflow(), {
      model: tinyModel,
      request: { ...good, inputs: ['x'.repeat(4000)].concat(Array(5000).fill('a'.repeat(2000))) },
    });
    await expect(oversize).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('bytes'),
    });
    const metrics = await (
      await fetch(`${here(guarded)}/metrics`, { headers: { Authorization: `Bearer ${token}` } })
    ).text();
    expect(metrics).toMatch(/sentvec_refused_jobs_total [1-9]/);
    const shown = (await (
      await fetch(`${here(guarded)}/api/overview`, { headers: { Authorization: `Bearer ${token}` } })
    ).json()) as {
      refusedJobs: unknown[];
    };
    expect(shown.refusedJobs.length).toBeGreaterThanOrEqual(6);
    await overview.close();
    connection.disconnect();
    await runtime.close();
  });
});
