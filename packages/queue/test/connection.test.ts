import { execFile } from 'node:child_process';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { inspect, promisify } from 'node:util';
import { connectRedis, isDurable, queueRuntime, redactUrl, startQueueWorker } from '@sentvec/queue';
import { freePort, startRedis, type RedisServer } from '@sentvec/testing';
import { defineStep, defineWorkflow, silentLogger } from '@sentvec/workflow';
import { Redis } from 'ioredis';
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
  .step(numbers)
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

/** Creates a cluster with one node that has all slots. */
async function makeCluster({ url }: RedisServer): Promise<void> {
  const node = new Redis(url);
  await node.cluster('ADDSLOTS', ...Array.from({ length: 16_384 }, (_, slot) => slot));
  await expect.poll(async () => node.cluster('INFO'), { timeout: 20_000 }).toContain('cluster_state:ok');
  node.disconnect();
}

describe('a worker that starts together with hundreds of others', () => {
  it('serves, though Redis takes none of its further connections at the first attempt', async () => {
    const { port } = await redis();
    let attempts = 0;
    const crowded = createServer((socket) => {
      attempts += 1;
      socket.on('error', () => {});
      // The first one is the worker's own; BullMQ opens one for each of its queues.
      const server = connect(port, '127.0.0.1').on('error', () => socket.destroy());
      if (attempts > 1 && attempts <= 4) socket.destroy();
      else socket.pipe(server).pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(crowded, 'listening');
    await runsThrough(`redis://127.0.0.1:${(crowded.address() as AddressInfo).port}`);
    expect(attempts).toBeGreaterThan(4);
    crowded.close();
  });
});

describe('a producer without Redis', () => {
  it('gives up within two seconds', () => {
    // A command takes half a second before it connects, and one second on a machine under load.
    expect(producerTimeout).toBeLessThan(1000);
    expect(actionTimeout).toBeLessThan(2000);
  });

  it('fails if no server listens', async () => {
    const runtime = queueRuntime({ url: `redis://127.0.0.1:${await freePort()}` });
    await expect(runtime).rejects.toMatchObject({
      code: 'queue-unavailable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it.each(['redis', 'redis+cluster'])(
    'fails if a server accepts %s:// connections but never responds',
    async (scheme) => {
      const silent = createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const { port } = silent.address() as { port: number };
      const url = `${scheme}://127.0.0.1:${port}`;
      await expect(queueRuntime({ url })).rejects.toMatchObject({
        code: 'queue-unavailable',
        message: `No Redis at ${url}: no answer within ${producerTimeout} ms. Check that it is running and that the URL is right.`,
      });
      silent.close();
      // Resolves only when the producer has closed the connection.
      await once(silent, 'close');
    },
  );

  it('fails if the connection succeeds but all responses are too slow', async () => {
    // Responds to the connection handshake, but not to the first INFO or later commands.
    const info = '# Server\r\nredis_version:8.0.0\r\nmaxmemory_policy:noeviction\r\n';
    const forgetful = createServer((socket) => {
      let infos = 0;
      socket.on('data', (data: Buffer) => {
        for (const [command] of data.toString().matchAll(/\b(setinfo|info)\b/gi)) {
          if (command.toLowerCase() === 'setinfo') socket.write('+OK\r\n');
          else if (++infos === 1) socket.write(`$${info.length}\r\n${info}\r\n`);
        }
      });
    }).listen(0, '127.0.0.1');
    await once(forgetful, 'listening');
    const { port } = forgetful.address() as { port: number };
    await expect(queueRuntime({ url: `redis://127.0.0.1:${port}` })).rejects.toMatchObject({
      code: 'queue-unavailable',
      message: expect.stringContaining(`no answer within ${producerTimeout} ms`),
    });
    forgetful.close();
  });

  it('fails before BullMQ is loaded', async () => {
    const program = join(import.meta.dirname, 'loaded-modules.mjs');
    const url = `redis://127.0.0.1:${await freePort()}`;
    const { stdout } = await promisify(execFile)(process.execPath, [program, url]);
    expect(stdout.trim()).toBe('queue-unavailable; BullMQ loaded: false, then true');
  });

  it('fails if Redis goes down later, and works again after it is back', async () => {
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

describe('a worker without Redis', () => {
  it('waits for Redis when it starts', async () => {
    const server = await redis();
    await server.kill();
    const starting = startQueueWorker({ url: server.url, workflows: [workflow] });
    await expect(queueRuntime({ url: server.url })).rejects.toMatchObject({ code: 'queue-unavailable' });
    await server.restart();
    const worker = await starting;
    expect(worker.isServing).toBe(true);
    await worker.stop(1000);
  });
});

describe('a Redis that may lose jobs', () => {
  it('is refused if it evicts keys', async () => {
    const { url } = await redis('--maxmemory-policy', 'allkeys-lru');
    await expect(queueRuntime({ url })).rejects.toMatchObject({
      code: 'queue-unavailable',
      message: expect.stringMatching(/allkeys-lru.*noeviction/s),
    });
    await expect(startQueueWorker({ url, workflows: [] })).rejects.toMatchObject({ code: 'queue-unavailable' });
  });

  it('is refused if its version is too old', () => {
    const info = (version: string) => `# Server\r\nredis_version:${version}\r\nmaxmemory_policy:noeviction\r\n`;
    expect(() => checkServer(info('5.0.14'), 'redis://old')).toThrow(/version 5\.0\.14.*6\.2/);
    expect(() => checkServer(info('6.0.20'), 'redis://old')).toThrow(/6\.2/);
    for (const version of ['6.2.0', '7.0.15', '8.2.1', '10.0.0'])
      expect(() => checkServer(info(version), 'redis://new')).not.toThrow();
  });

  it('is refused by producers and workers', async () => {
    const info = '# Server\r\nredis_version:6.0.16\r\nmaxmemory_policy:noeviction\r\n';
    const old = createServer((socket) => {
      // A fake server that responds to every command with its INFO.
      socket.on('data', (data: Buffer) => {
        const commands = data.toString().match(/^\*\d+\r$/gm) ?? [];
        socket.write(`$${info.length}\r\n${info}\r\n`.repeat(commands.length));
      });
    }).listen(0, '127.0.0.1');
    await once(old, 'listening');
    const { port } = old.address() as { port: number };
    const error = { code: 'queue-unavailable', message: expect.stringContaining('6.0.16; the queue needs 6.2') };
    const url = `redis://127.0.0.1:${port}`;
    await expect(queueRuntime({ url })).rejects.toMatchObject(error);
    await expect(startQueueWorker({ url, workflows: [] })).rejects.toMatchObject(error);
    old.close();
  });

  it('without an append-only file is detected', async () => {
    const connection = await connectRedis((await redis()).url, 'producer');
    expect(await isDurable(connection)).toBe(true);
    connection.disconnect();
  });
});

describe('URLs', () => {
  it('must be those of a Redis', async () => {
    await expect(queueRuntime({ url: 'http://127.0.0.1' })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(queueRuntime({ queue: 'a:b' })).rejects.toMatchObject({ code: 'invalid-argument' });
    for (const url of [
      'redis://:se/cret@127.0.0.1:1',
      'redis+cluster://:se/cret@127.0.0.1:1',
      'redis://:se?cret@127.0.0.1:1',
      'redis://host:port',
    ]) {
      const error = await queueRuntime({ url }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'invalid-argument', message: expect.stringContaining('%XX') });
      expect(inspect(error)).not.toContain('cret');
    }
  });

  it.each([
    ['rediss://user:p%40ss@host:6380/2', 'rediss://user:***@host:6380/2'],
    ['redis://host', 'redis://host'],
    ['redis://[::1]:6379/0', 'redis://[::1]:6379/0'],
    ['localhost:6379', 'localhost:6379'],
    ['redis://:p@ss/word?@host', 'redis://:***@host'],
    ['redis+cluster://user:one@first,second', 'redis+cluster://user:***@first,second'],
    ['redis+cluster://user:one@first:1,user:two@second:2/', 'redis+cluster://user:***@second:2/'],
    ['redis://host?password=secret', 'redis://host'],
    ['redis://host/3#secret', 'redis://host/3'],
    ['redis://host?password=a@secret', 'redis://***'],
    ['redis://host:6379?password=a@secret', 'redis://***'],
    ['redis://secret@host', 'redis://***@host'],
    ['redis://secret:@host', 'redis://***@host'],
    ['redis://user:secret', 'redis://***'],
    ['user:secret@host:6379', 'user:***@host:6379'],
    ['redis:secret@host', 'redis:***@host'],
    ['redis:/user:secret@host', 'redis:***@host'],
    ['host:6380,password=secret,ssl=True', '***'],
    ['redis-cli -h host -a secret', '***'],
    ['redis://user:sec\nret@host', 'redis://user:***@host'],
    ['', '***'],
  ])('are printed without passwords: %j', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });

  it('of a slow Redis work if connectTimeout is long enough', async () => {
    const { url } = await redis();
    const slow = createServer((socket) => {
      const server = connect(Number(new URL(url).port), '127.0.0.1');
      for (const each of [socket, server]) each.on('error', () => {});
      setTimeout(() => socket.pipe(server).pipe(socket), 2 * producerTimeout);
    });
    await once(slow.listen(0, '127.0.0.1'), 'listening');
    const slowUrl = `redis://127.0.0.1:${(slow.address() as AddressInfo).port}`;
    await expect(queueRuntime({ url: slowUrl })).rejects.toMatchObject({ code: 'queue-unavailable' });
    const runtime = await queueRuntime({ url: slowUrl, connectTimeout: 20_000 });
    expect(await runtime.list()).toEqual([]);
    await runtime.close();
    slow.close();
  });

  it('carry credentials', async () => {
    const { url } = await redis('--requirepass', 'open sesame');
    await expect(queueRuntime({ url })).rejects.toMatchObject({
      code: 'queue-unavailable',
      message: expect.stringContaining('password'),
    });
    const wrong = url.replace('//', '//:guess@');
    const error = await queueRuntime({ url: wrong }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'queue-unavailable' });
    expect(String(error)).not.toContain('guess');
    await runsThrough(url.replace('//', '//:open%20sesame@'));
  });

  it('can contain a user, who needs access only to the keys of the queue', async () => {
    const { url } = await redis(
      '--user',
      'default',
      'off',
      '--user',
      'embedder',
      ...'on >open:sesame ~{sentvec}:* &* +@all -@admin +info'.split(' '),
    );
    await expect(startQueueWorker({ url, workflows: [] })).rejects.toMatchObject({ code: 'queue-unavailable' });
    await runsThrough(url.replace('//', '//embedder:open%3Asesame@'));
  });

  it('can name a cluster; all keys of a queue are in one hash slot', async () => {
    const server = await redis('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1');
    await makeCluster(server);
    await runsThrough(server.url.replace('redis://', 'redis+cluster://'));
    const connection = await connectRedis(server.url, 'producer');
    const keys = await connection.keys('*');
    connection.disconnect();
    expect(keys.length).toBeGreaterThan(5);
    expect(keys.every((key) => key.startsWith('{sentvec}:'))).toBe(true);
  });
});

it('a replica is refused with an error that names its primary', async () => {
  const primary = await redis();
  const replica = await redis('--replicaof', '127.0.0.1', String(primary.port));
  const refused = { code: 'queue-unavailable', message: expect.stringContaining(`primary, 127.0.0.1:${primary.port}`) };
  await expect(queueRuntime({ url: replica.url })).rejects.toMatchObject(refused);
  await expect(startQueueWorker({ url: replica.url, workflows: [workflow] })).rejects.toMatchObject(refused);
});

it('a worker continues after a failover, and reports that it is not serving meanwhile', async () => {
  const [first, second] = [await redis(), await redis()];
  const admin = new Redis(first.url);
  const worker = await startQueueWorker({ url: first.url, workflows: [workflow] });
  expect(worker.isServing).toBe(true);
  await admin.call('REPLICAOF', '127.0.0.1', String(second.port));
  await expect.poll(() => worker.isServing, { timeout: 20_000 }).toBe(false);
  await admin.call('REPLICAOF', 'NO', 'ONE');
  await expect.poll(() => worker.isServing, { timeout: 20_000 }).toBe(true);
  const runtime = await queueRuntime({ url: first.url });
  expect(await (await runtime.start(workflow, 20)).result()).toMatchObject({ count: 20 });
  await worker.stop(1000);
  await runtime.close();
  admin.disconnect();
});

it('a worker whose Redis user lacks a permission reports that, and works once it has the permission', async () => {
  const server = await redis();
  const admin = new Redis(server.url);
  const allow = (...rules: string[]) =>
    admin.call('ACL', 'SETUSER', 'user', 'reset', 'on', '>secret', '~*', '&*', ...rules);
  await allow('+@all', '-evalsha');
  const url = server.url.replace('//', '//user:secret@');
  const logged: string[] = [];
  const error = (facts: object, message: string) => void logged.push(`${message} ${JSON.stringify(facts)}`);
  const logger = { ...silentLogger, warn: error, error };
  const worker = await startQueueWorker({ url, workflows: [workflow], logger });
  const runtime = await queueRuntime({ url: server.url });
  const run = await runtime.start(workflow, 20);
  await expect
    .poll(async () => (await run.status()).notice, { timeout: 20_000 })
    .toMatch(/denies .* 'evalsha' command/);
  expect(worker.isServing).toBe(false);
  expect(logged.length).toBeLessThan(10);
  await allow('+@all');
  expect(await run.result()).toMatchObject({ count: 20 });
  for (const [less, told] of [
    ['-info', 'info'],
    // Within a script, Redis does not name the forbidden command.
    ['-time', 'this command'],
  ] as const) {
    await allow('+@all', less);
    await expect(startQueueWorker({ url, workflows: [workflow] })).rejects.toMatchObject({
      code: 'queue-unavailable',
      message: expect.stringContaining(told),
    });
  }
  await allow('+@all', '-xread');
  const watching = await queueRuntime({ url });
  await expect((await watching.start(workflow, 20)).result()).rejects.toMatchObject({ code: 'queue-unavailable' });
  await worker.stop(1000);
  await Promise.all([runtime.close(), watching.close()]);
  admin.disconnect();
});
