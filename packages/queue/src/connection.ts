import { SentvecError } from '@sentvec/core';
import { Cluster, Redis, type RedisOptions } from 'ioredis';

/** A connection to one Redis, or to a Redis Cluster. */
export type RedisConnection = Redis | Cluster;

/** How a connection behaves when Redis is away. */
export type ConnectionRole =
  /** Fails within two seconds: somebody waits for the answer. */
  | 'producer'
  /** Waits for as long as it takes: the work goes on when Redis is back. */
  | 'worker';

/** The Redis of a machine of one's own. */
export const defaultRedisUrl = 'redis://127.0.0.1:6379';

/** Milliseconds after which a producer gives up. */
export const producerTimeout: number = 1000;

const oldestVersion = [6, 2] as const;

/**
 * Opens a connection and checks that the server is one that jobs are safe with.
 *
 * @param url `redis://[user:password@]host[:port][/database]`; `rediss://` for TLS; `redis+cluster://` or
 * `rediss+cluster://` for a Redis Cluster, with further hosts separated by commas
 * @throws SentvecError `invalid-argument` for a URL that cannot be used, `queue-unavailable` with what to do
 */
export async function connectRedis(url: string, role: ConnectionRole): Promise<RedisConnection> {
  const connection = createConnection(url, role);
  let lastError: Error | undefined;
  connection.on('error', (error: Error) => (lastError = error));
  try {
    await within(connection.connect(), role === 'producer' ? producerTimeout : 15_000);
    checkServer(await infoOf(connection), redactUrl(url));
  } catch (error) {
    connection.disconnect();
    if (SentvecError.is(error)) throw error;
    throw unreachable(url, lastError ?? error);
  }
  return connection;
}

/** The URL without its password, for messages. */
export function redactUrl(url: string): string {
  return url.replace(/(:\/\/)([^@/]*)@/, (_all, scheme: string, credentials: string) => `${scheme}${credentials.split(':')[0]}:***@`);
}

function createConnection(url: string, role: ConnectionRole): RedisConnection {
  const options: RedisOptions = {
    lazyConnect: true,
    connectTimeout: producerTimeout,
    // A program that was refused would stay for as long as this before it ends.
    disconnectTimeout: 200,
    maxRetriesPerRequest: null,
    enableOfflineQueue: role === 'worker',
    retryStrategy: (times) => Math.min(times * 100, 1000),
  };
  const scheme = /^(rediss?)(\+cluster)?:\/\//.exec(url);
  if (!scheme) {
    const message = `"${redactUrl(url)}" is not the URL of a Redis: it must begin with redis://, rediss://, redis+cluster:// or rediss+cluster://.`;
    throw new SentvecError('invalid-argument', message);
  }
  if (scheme[2] === undefined) return new Redis(url, options);
  const [first = '', ...others] = url.slice(scheme[0].length).split(',');
  const { username, password, hostname, port } = new URL(`${scheme[1]}://${first}`);
  const nodes = [{ host: hostname, port: Number(port || 6379) }, ...others.map(hostAndPort)];
  const credentials = {
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
  };
  return new Cluster(nodes, {
    lazyConnect: true,
    enableOfflineQueue: role === 'worker',
    clusterRetryStrategy: (times) => (role === 'producer' && times > 2 ? null : Math.min(times * 100, 1000)),
    redisOptions: { ...options, ...credentials, ...(scheme[1] === 'rediss' && { tls: {} }) },
  });
}

function hostAndPort(text: string): { host: string; port: number } {
  const { hostname, port } = new URL(`redis://${text}`);
  return { host: hostname, port: Number(port || 6379) };
}

async function infoOf(connection: RedisConnection): Promise<string> {
  return within(connection.info(), producerTimeout);
}

/** @throws SentvecError `queue-unavailable` for a server on which jobs are not safe */
export function checkServer(info: string, name: string): void {
  const field = (key: string) => new RegExp(`^${key}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  const version = field('redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < oldestVersion[0] || (major === oldestVersion[0] && minor < oldestVersion[1])) {
    throw new SentvecError(
      'queue-unavailable',
      `The Redis at ${name} is version ${version}; the queue needs ${oldestVersion.join('.')} or newer.`,
    );
  }
  const policy = field('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    throw new SentvecError(
      'queue-unavailable',
      `The Redis at ${name} has maxmemory-policy ${policy}: it would throw jobs away when its memory is full. ` +
        'Set it to noeviction: redis-cli config set maxmemory-policy noeviction.',
    );
  }
}

/** Whether the server keeps its data over a restart. */
export async function isDurable(connection: RedisConnection): Promise<boolean> {
  return /^aof_enabled:1/m.test(await connection.info('persistence'));
}

function unreachable(url: string, cause: unknown): SentvecError {
  const reason = cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : String(cause);
  const hint = /NOAUTH|WRONGPASS|AUTH/.test(reason) ? 'Put the user and password into the URL.' : 'Is it running, and is the URL right?';
  return new SentvecError('queue-unavailable', `No Redis at ${redactUrl(url)}: ${reason}. ${hint}`, {}, { cause });
}

/** The promise, or a rejection after so many milliseconds. */
export async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
