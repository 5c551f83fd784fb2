import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { connectRedis, isDurable, queueRuntime, redactUrl, startQueueWorker } from '@sentvec/queue';
import { freePort, startRedis, type RedisServer } from '@sentvec/testing';
import { defineStep, defineWorkflow } from '@sentvec/workflow';
import * as v from 'valibot';
import { afterEach, describe, expect, it } from 'vitest';
import { checkServer, producerTimeout } from '../src/connection.ts';
import { actionTimeout } from '../src/queue-client.ts';

const servers: RedisServer[] = [];

async function redis(...more: string[]): Promise<RedisServer> {
  const server = await startRedis({ arguments: more });
  servers.push(server);
  return server;
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

const double = defineStep({ id: 'double', input: v.number(), output: v.number(), run: (value) => value * 2 });
const numbers = defineStep({
  id: 'numbers',
  input: v.number(),
  output: v.number(),
  async *run(end) {
    for (let index = 0; index < end; index += 1) yield index;
  },
});
const workflow = defineWorkflow({ id: 'doubles', input: v.number() })
  .then(numbers)
  .forEach(double, { fold: { initial: 0, add: (total: number, value: number) => total + value } });

async function runsThrough(url: string): Promise<void> {
  const worker = await startQueueWorker({ url, workflows: [workflow] });
  const runtime = await queueRuntime({ url });
  try {
    const run = await runtime.start(workflow, 20);
    expect(await run.result()).toMatchObject({ count: 20, total: 380 });
    expect((await run.status()).state).toBe('completed');
  } finally {
    await worker.stop(1000);
    await runtime.close();
  }
}

describe('a producer without its Redis', () => {
  it('gives up within two seconds', () => {
    expect(producerTimeout).toBeLessThan(2000);
    expect(actionTimeout).toBeLessThanOrEqual(2000);
  });

  it('fails when nothing listens', async () => {
    const runtime = queueRuntime({ url: `redis://127.0.0.1:${await freePort()}` });
    await expect(runtime).rejects.toMatchObject({ code: 'queue-unavailable', message: expect.stringContaining('ECONNREFUSED') });
  });

  it('fails when something listens and never answers', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    await expect(queueRuntime({ url: `redis://127.0.0.1:${port}` })).rejects.toMatchObject({ code: 'queue-unavailable' });
    silent.close();
  });

  it('fails when Redis goes away later, and works again when it is back', async () => {
    const server = await redis();
    const runtime = await queueRuntime({ url: server.url });
    await server.kill();
    await expect(runtime.start(workflow, 3)).rejects.toMatchObject({ code: 'queue-unavailable' });
    await server.restart();
    await expect
      .poll(
        async () =>
          runtime.start(workflow, 3).then(
            () => 'ok',
            () => 'not yet',
          ),
        { timeout: 10_000 },
      )
      .toBe('ok');
    await runtime.close();
  });
});

describe('a Redis that jobs are not safe with', () => {
  it('is refused when it evicts keys', async () => {
    const { url } = await redis('--maxmemory-policy', 'allkeys-lru');
    await expect(queueRuntime({ url })).rejects.toMatchObject({
      code: 'queue-unavailable',
      message: expect.stringMatching(/allkeys-lru.*noeviction/s),
    });
    await expect(startQueueWorker({ url, workflows: [] })).rejects.toMatchObject({ code: 'queue-unavailable' });
  });

  it('is refused when it is too old', () => {
    const info = (version: string) => `# Server\r\nredis_version:${version}\r\nmaxmemory_policy:noeviction\r\n`;
    expect(() => checkServer(info('5.0.14'), 'redis://old')).toThrow(/version 5\.0\.14.*6\.2/);
    expect(() => checkServer(info('6.0.20'), 'redis://old')).toThrow(/6\.2/);
    for (const version of ['6.2.0', '7.0.15', '8.2.1', '10.0.0']) expect(() => checkServer(info(version), 'redis://new')).not.toThrow();
  });

  it('is told from one that is', async () => {
    const connection = await connectRedis((await redis()).url, 'producer');
    expect(await isDurable(connection)).toBe(true);
    connection.disconnect();
  });
});

describe('URLs', () => {
  it('must be those of a Redis', async () => {
    await expect(queueRuntime({ url: 'http://127.0.0.1' })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(queueRuntime({ queue: 'a:b' })).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('are shown without their passwords', () => {
    expect(redactUrl('rediss://user:p%40ss@host:6380/2')).toBe('rediss://user:***@host:6380/2');
    expect(redactUrl('redis://host')).toBe('redis://host');
  });

  it('carry credentials', async () => {
    const { url } = await redis('--requirepass', 'open sesame');
    await expect(queueRuntime({ url })).rejects.toMatchObject({ code: 'queue-unavailable', message: expect.stringContaining('password') });
    const wrong = url.replace('//', '//:guess@');
    const error = await queueRuntime({ url: wrong }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'queue-unavailable' });
    expect(String(error)).not.toContain('guess');
    await runsThrough(url.replace('//', '//:open%20sesame@'));
  });

  it('ask for TLS', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sentvec-tls-'));
    const key = join(folder, 'key.pem');
    const certificate = join(folder, 'certificate.pem');
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', certificate, ...subject],
      {
        stdio: 'ignore',
      },
    );
    const tlsPort = await freePort();
    const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate, '--tls-auth-clients', 'no'];
    await redis('--tls-port', String(tlsPort), ...files);
    const secure = `rediss://127.0.0.1:${tlsPort}`;
    await expect(queueRuntime({ url: secure })).rejects.toMatchObject({
      code: 'queue-unavailable',
      message: expect.stringMatching(/certificate/),
    });
    const script = `
      import { queueRuntime } from '@sentvec/queue';
      const runtime = await queueRuntime({ url: process.argv[1] });
      console.log((await runtime.list()).length);
      await runtime.close();`;
    const environment = { ...process.env, NODE_EXTRA_CA_CERTS: certificate };
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script, secure], {
      cwd: import.meta.dirname,
      env: environment,
      encoding: 'utf8',
    });
    expect(output.trim()).toBe('0');
    rmSync(folder, { recursive: true });
  });

  it('name a cluster, whose keys all lie in one slot', async () => {
    const server = await redis('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1');
    execFileSync('redis-cli', ['-p', String(server.port), 'cluster', 'addslotsrange', '0', '16383']);
    const state = () => execFileSync('redis-cli', ['-p', String(server.port), 'cluster', 'info'], { encoding: 'utf8' });
    await expect.poll(state, { timeout: 10_000 }).toContain('cluster_state:ok');
    await runsThrough(server.url.replace('redis://', 'redis+cluster://'));
    const keys = execFileSync('redis-cli', ['-p', String(server.port), 'keys', '*'], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(keys.every((key) => key.startsWith('{sentvec}:'))).toBe(true);
  });
});
