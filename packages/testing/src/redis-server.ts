// A real Redis for tests.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Options of {@link startRedis}. */
export interface RedisServerOptions {
  /** Further arguments of `redis-server`, for example `--maxmemory-policy allkeys-lru`. Later ones win. */
  readonly arguments?: readonly string[] | undefined;
}

/** A real Redis for one test, on a free port, with its data in a temporary folder. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly directory: string;
  /** `kill -9`. */
  kill(): Promise<void>;
  /** Starts it again, from its append-only file. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/**
 * Starts a Redis with an append-only file, as queues need it.
 *
 * @throws Error with what to do, when there is no `redis-server` on this machine
 */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    throw new Error(
      'redis-server is not installed, and this test talks to a real Redis: apt-get install redis-server.',
    );
  }
  const directory = await mkdtemp(join(tmpdir(), 'sentvec-redis-'));
  const port = await freePort();
  let server = await launch(port, directory, options);
  const kill = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill('SIGKILL');
    await exited;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    directory,
    kill,
    restart: async () => {
      server = await launch(port, directory, options);
    },
    stop: async () => {
      await kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

async function launch(
  port: number,
  directory: string,
  { arguments: more = [] }: RedisServerOptions,
): Promise<ChildProcess> {
  const settings = { port, bind: '127.0.0.1', dir: directory, appendonly: 'yes', appendfsync: 'everysec', save: '' };
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = spawn('redis-server', [...flags, ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  server.stdout.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4000)));
  while (!(await answers(port))) {
    if (server.exitCode !== null) throw new Error(`redis-server ended at once:\n${output}`);
    await sleep(20);
  }
  return server;
}

/** Whether the port answers as a Redis that has read its data, or that asks for a password first. */
async function answers(port: number): Promise<boolean> {
  const socket = createConnection(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write('PING\r\n');
    const [reply] = (await once(socket, 'data')) as [Buffer];
    return /^(\+PONG|-NOAUTH)/.test(reply.toString());
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
