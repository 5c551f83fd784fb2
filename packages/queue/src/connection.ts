// Connections to Redis: URLs, deadlines, and the checks that a server must pass.
import { SentvecError } from '@sentvec/core';
import { withDeadline } from '@sentvec/platform';
import { Cluster, Redis, type RedisOptions } from 'ioredis';

/** A connection to one Redis, or to a Redis Cluster. */
export type RedisConnection = Redis | Cluster;

/** How a connection behaves when Redis is away. */
export type ConnectionRole =
  /** Fails within two seconds, because a caller waits for the answer. */
  | 'producer'
  /** Waits for as long as it takes, and goes on when Redis is back. */
  | 'worker'
  /**
   * Waits for Redis at the start like a worker. Later commands fail: at once when Redis is away, after ten seconds when
   * it does not answer.
   */
  | 'watcher';

/** The Redis of this machine. */
export const defaultRedisUrl = 'redis://127.0.0.1:6379';

/** Milliseconds that a producer has, unless it says otherwise, for everything before its first action. */
export const producerTimeout: number = 800;

/** Milliseconds for which a watcher waits for an answer. */
const watcherTimeout = 10_000;

/** Milliseconds for which a starting worker waits for Redis. */
const workerTimeout = 15_000;

const oldestVersion = [6, 2] as const;

/**
 * Opens a connection and checks that the server does not lose jobs.
 *
 * @param url `redis://[user:password@]host[:port][/database]`; `rediss://` for TLS; `redis+cluster://` or
 * `rediss+cluster://` for a Redis Cluster, with further hosts separated by commas
 * @param timeout milliseconds for the connection and the check of the server @default 800 for a producer, else 15,000
 * @param signal ends the attempt to connect
 * @throws SentvecError `invalid-argument` for a URL that cannot be used; `queue-unavailable` with what to do; `aborted`
 */
export async function connectRedis(
  url: string,
  role: ConnectionRole,
  timeout: number = role === 'producer' ? producerTimeout : workerTimeout,
  signal?: AbortSignal,
): Promise<RedisConnection> {
  const connection = createConnection(url, role, timeout);
  let lastError: Error | undefined;
  connection.on('error', (error: Error) => (lastError = error));
  try {
    const info = await within(serverInfo(connection, role), timeout, signal);
    checkServer(info, redactUrl(url));
  } catch (error) {
    connection.disconnect();
    if (SentvecError.is(error)) throw error;
    throw unreachableError(url, lastError ?? error);
  }
  return connection;
}

/** Hosts with their ports, and the number of the database. What follows may hold a password. */
const hostsAndDatabase = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?(?:,[\w.-]+(?::\d+)?)*(?:\/\d*)?(?=[?#]|$)/i;

/**
 * The URL for messages. It shows only parts that are known not to be secret: the scheme, the user (when there is a
 * password), the hosts and the database. Works for malformed URLs too: `***` replaces everything else.
 */
export function redactUrl(url: string): string {
  const [scheme = ''] = /^[a-z+]{1,20}:\/\//i.exec(url) ?? [];
  const rest = url.slice(scheme.length);
  const at = rest.lastIndexOf('@');
  const credentials = rest.slice(0, Math.max(at, 0));
  const [hosts] = hostsAndDatabase.exec(rest.slice(at + 1)) ?? [];
  // The @ of `?password=a@b` is not a separator.
  if (hosts === undefined || /\?.*=/s.test(credentials)) return `${scheme}***`;
  if (at === -1) return scheme + hosts;
  const [, user = ''] = /^([\w.%-]*):./s.exec(credentials) ?? [];
  const isToken = !/:./s.test(credentials);
  return `${scheme}${isToken ? '' : `${user}:`}***@${hosts}`;
}

/** Connects, and reads what the server says about itself. */
async function serverInfo(connection: RedisConnection, role: ConnectionRole): Promise<string> {
  await (role === 'producer' ? connection.connect() : untilReady(connection));
  return connection.info();
}

/** Connects, with any number of attempts, unless the server denies access. */
async function untilReady(connection: RedisConnection): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    connection.once('ready', resolve);
    connection.on('error', (error: Error) => isDenial(error.message) && reject(error));
    connection.connect().catch(() => {});
  });
}

/** Whether an error says that the server does not let this user in, or not do this. */
export function isDenial(reason: string): boolean {
  return /AUTH|WRONGPASS|NOPERM|certificate|can't run this command/.test(reason);
}

function createConnection(url: string, role: ConnectionRole, timeout: number): RedisConnection {
  const options: RedisOptions = {
    lazyConnect: true,
    connectTimeout: role === 'producer' ? timeout : timeout / 3,
    // A server that does not close the connection keeps the process alive for this long.
    disconnectTimeout: role === 'producer' ? 0 : 200,
    maxRetriesPerRequest: null,
    enableOfflineQueue: role === 'worker',
    ...(role === 'watcher' && { commandTimeout: watcherTimeout }),
    retryStrategy: (times) => Math.min(times * 100, 1000),
    // After a failover this connection may lead to a server that is now a replica, while the name leads to another.
    reconnectOnError: ({ message }) => (message.includes('READONLY') ? 2 : false),
  };
  const scheme = /^(rediss?)(\+cluster)?:\/\//.exec(url);
  if (!scheme) {
    const message = `"${redactUrl(url)}" is not the URL of a Redis: it must begin with redis://, rediss://, redis+cluster:// or rediss+cluster://.`;
    throw new SentvecError('invalid-argument', message);
  }
  try {
    return scheme[2] === undefined
      ? new Redis(url, options)
      : openCluster(url.slice(scheme[0].length), scheme[1] === 'rediss', role, options);
  } catch {
    // Without the cause, which would show the password.
    throw new SentvecError(
      'invalid-argument',
      `"${redactUrl(url)}" is not a URL. Write special characters of the password as %XX.`,
    );
  }
}

function openCluster(hosts: string, isSecure: boolean, role: ConnectionRole, options: RedisOptions): Cluster {
  const [first = '', ...others] = hosts.split(',');
  const { username, password, hostname, port } = new URL(`redis://${first}`);
  const nodes = [{ host: hostname, port: Number(port || 6379) }, ...others.map(hostAndPort)];
  const credentials = {
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
  };
  return new Cluster(nodes, {
    lazyConnect: true,
    enableOfflineQueue: role === 'worker',
    clusterRetryStrategy: (times) => (role === 'producer' && times > 2 ? null : Math.min(times * 100, 1000)),
    redisOptions: { ...options, ...credentials, ...(isSecure && { tls: {} }) },
  });
}

function hostAndPort(text: string): { host: string; port: number } {
  const { hostname, port } = new URL(`redis://${text}`);
  return { host: hostname, port: Number(port || 6379) };
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
  // In a cluster, commands that write are sent to a primary whichever node answers here.
  if (field('role') === 'slave' && field('slave_read_only') !== '0' && field('cluster_enabled') !== '1') {
    throw new SentvecError(
      'queue-unavailable',
      `The Redis at ${name} is a read-only replica. Give the URL of its primary, ${field('master_host')}:${field('master_port')}.`,
    );
  }
  const policy = field('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    throw new SentvecError(
      'queue-unavailable',
      `The Redis at ${name} has maxmemory-policy ${policy}: it would delete jobs when its memory is full. ` +
        'Set it to noeviction: redis-cli config set maxmemory-policy noeviction.',
    );
  }
}

/** Whether the server keeps its data over a restart. */
export async function isDurable(connection: RedisConnection): Promise<boolean> {
  return /^aof_enabled:1/m.test(await connection.info('persistence'));
}

/** What an error of Redis says, without the name of the script in which it happened, and without a dot at the end. */
export function reasonOf(error: unknown): string {
  const reason =
    error instanceof Error ? error.message || String((error as NodeJS.ErrnoException).code) : String(error);
  return reason.replace(/ script: \w{40}, on @user_script:\d+\.?$/, '').replace(/\.+$/, '');
}

function unreachableError(url: string, cause: unknown): SentvecError {
  const reason = reasonOf(cause);
  const hint = reason.includes('NOPERM')
    ? 'Allow the user INFO, TIME and scripts, and all commands on the keys of the queue: {NAME}:*.'
    : /NOAUTH/.test(reason)
      ? 'Put the user and password into the URL.'
      : /AUTH|WRONGPASS/.test(reason)
        ? 'Correct the user and password in the URL.'
        : 'Is it running, and is the URL right?';
  return new SentvecError('queue-unavailable', `No Redis at ${redactUrl(url)}: ${reason}. ${hint}`, {}, { cause });
}

/** The promise, or a rejection after this many milliseconds or when the signal fires. */
export function within<T>(promise: Promise<T>, milliseconds: number, signal?: AbortSignal): Promise<T> {
  const error = () => new DOMException(`no answer within ${milliseconds} ms`, 'TimeoutError');
  return withDeadline(() => promise, { milliseconds, error, signal });
}
