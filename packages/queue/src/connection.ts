// Connections to Redis: URLs, timeouts, and checks of the server.
import { SentvecError } from '@sentvec/core';
import { checkOptionNames, withDeadline, type OptionNames } from '@sentvec/platform';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { readTls, tlsHint, type RedisTls } from './redis-tls.ts';

/** A connection to one Redis, or to a Redis Cluster. */
export type RedisConnection = Redis | Cluster;

/** How a connection behaves while Redis is unreachable. */
export type ConnectionRole =
  /** Fails within two seconds, because a caller waits for the answer. */
  | 'producer'
  /** Waits without a limit, and continues when Redis is back. */
  | 'worker'
  /**
   * Waits for Redis at the start, like a worker. Later commands fail: at once if Redis is unreachable, after ten
   * seconds if it does not answer.
   */
  | 'watcher';

/** The local Redis. */
export const defaultRedisUrl = 'redis://127.0.0.1:6379';

/** Default timeout in milliseconds for a producer to connect and check the server. */
export const producerTimeout: number = 800;

/** Milliseconds that a watcher waits for an answer. */
const watcherTimeout = 10_000;

/** Milliseconds that a worker waits for Redis when it starts. */
export const workerTimeout = 15_000;

const oldestVersion = [6, 2] as const;

/** Options of {@link connectRedis}. */
export interface ConnectOptions {
  /**
   * Milliseconds for the connection and the check of the server.
   *
   * @default 800 for a producer, else 15,000
   */
  readonly timeout?: number | undefined;
  /** TLS options, for a URL with a TLS scheme. */
  readonly tls?: RedisTls | undefined;
  /** Ends the attempt to connect. */
  readonly signal?: AbortSignal | undefined;
}

const optionNames: OptionNames<ConnectOptions> = { timeout: true, tls: true, signal: true };

/**
 * Opens a connection, and checks that the server is configured so that it does not lose jobs.
 *
 * @param url `redis://[user:password@]host[:port][/database]`; `rediss://` for TLS; `redis+cluster://` or
 * `rediss+cluster://` for a Redis Cluster, with further hosts separated by commas
 * @throws SentvecError `invalid-argument` for a URL or a certificate that cannot be used; `io-failed` for a file that
 *   cannot be read; `queue-unavailable` with what to do; `aborted`
 */
export async function connectRedis(
  url: string,
  role: ConnectionRole,
  options: ConnectOptions = {},
): Promise<RedisConnection> {
  checkOptionNames('connectRedis()', options, optionNames);
  const { timeout = role === 'producer' ? producerTimeout : workerTimeout, tls = {}, signal } = options;
  const opened = await openConnection(url, role, { timeout, tls });
  const { connection } = opened;
  let lastError: Error | undefined;
  connection.on('error', (error: Error) => (lastError = error));
  try {
    await within(checkServers(opened, role, redactUrl(url)), timeout, signal);
  } catch (error) {
    connection.disconnect();
    if (SentvecError.is(error)) throw error;
    if (isDenial(reasonOf(error))) throw unreachableError(url, error);
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    throw unreachableError(url, (isLate ? undefined : await opened.denial?.()) ?? lastError ?? error);
  }
  // BullMQ opens connections like this one. They are opened at once, with any number of attempts: the first one may
  // fail when hundreds of workers start together.
  if (role === 'worker') connection.options.lazyConnect = false;
  return connection;
}

/** Matches hosts with ports and the database number. The rest of a URL may contain a password. */
const hostsAndDatabase = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?(?:,[\w.-]+(?::\d+)?)*(?:\/\d*)?(?=[?#]|$)/i;

/**
 * Redacts a URL for messages. It shows only parts that cannot be secret: the scheme, the user (if there is a password),
 * the hosts and the database. `***` replaces everything else, also in malformed URLs.
 */
export function redactUrl(url: string): string {
  const [scheme = ''] = /^[a-z+]{1,20}:\/\//i.exec(url) ?? [];
  const rest = url.slice(scheme.length);
  const at = rest.lastIndexOf('@');
  const credentials = rest.slice(0, Math.max(at, 0));
  const [hosts] = hostsAndDatabase.exec(rest.slice(at + 1)) ?? [];
  // The @ in `?password=a@b` is not a separator.
  if (hosts === undefined || /\?.*=/s.test(credentials)) return `${scheme}***`;
  if (at === -1) return scheme + hosts;
  const [, user = ''] = /^([\w.%-]*):./s.exec(credentials) ?? [];
  const isToken = !/:./s.test(credentials);
  return `${scheme}${isToken ? '' : `${user}:`}***@${hosts}`;
}

/** Connects, and checks the INFO of each server. */
async function checkServers(opened: OpenedConnection, role: ConnectionRole, name: string): Promise<void> {
  const { connection } = opened;
  await (role === 'producer' ? connection.connect() : untilReady(opened));
  for (const info of await Promise.all(primariesOf(connection).map((server) => server.info()))) checkServer(info, name);
}

/**
 * Returns the servers that hold the data. In a cluster these are all primaries, because the keys of a queue may move.
 */
function primariesOf(connection: RedisConnection): readonly Redis[] {
  return connection instanceof Cluster ? connection.nodes('master') : [connection];
}

/** Connects, with an unlimited number of attempts, unless the server denies access. */
async function untilReady({ connection, denial }: OpenedConnection): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const rejectDenial = async (): Promise<void> => {
      const reason = await denial?.();
      if (reason) reject(reason);
    };
    connection.once('ready', resolve);
    connection.on('error', (error: Error) => {
      if (isDenial(reasonOf(error))) reject(error);
      else void rejectDenial();
    });
    connection.connect().catch(() => {});
  });
}

/** Whether an error means that the server denies access or a command to this user. */
export function isDenial(reason: string): boolean {
  return /AUTH|WRONGPASS|NOPERM|can't run this command/.test(reason) || tlsHint(reason) !== undefined;
}

/** A connection that is about to be made. */
interface OpenedConnection {
  readonly connection: RedisConnection;
  /**
   * For a cluster, returns the reason if its first node denies access. The error of a cluster connection does not
   * contain it.
   */
  readonly denial?: (() => Promise<Error | undefined>) | undefined;
}

async function openConnection(
  url: string,
  role: ConnectionRole,
  { timeout, tls }: { readonly timeout: number; readonly tls: RedisTls },
): Promise<OpenedConnection> {
  const options: RedisOptions = {
    lazyConnect: true,
    connectTimeout: role === 'producer' ? timeout : timeout / 3,
    // How long a server that does not close the connection can keep the process alive.
    disconnectTimeout: role === 'producer' ? 0 : 200,
    maxRetriesPerRequest: null,
    enableOfflineQueue: role === 'worker',
    ...(role === 'watcher' && { commandTimeout: watcherTimeout }),
    retryStrategy: (times) => Math.min(times * 100, 1000),
    // After a failover, this connection may still lead to the old primary, which is now a replica: reconnect.
    reconnectOnError: ({ message }) => (message.includes('READONLY') ? 2 : false),
  };
  const scheme = /^(rediss?)(\+cluster)?:\/\//.exec(url);
  if (!scheme) {
    const message = `"${redactUrl(url)}" is not a Redis URL. It must begin with redis://, rediss://, redis+cluster:// or rediss+cluster://.`;
    throw new SentvecError('invalid-argument', message);
  }
  const secured = await readTls(tls, scheme[1] === 'rediss');
  if (secured) options.tls = secured;
  try {
    return scheme[2] === undefined
      ? { connection: new Redis(url, options) }
      : openCluster(url.slice(scheme[0].length), role, options);
  } catch {
    // No cause, because it would contain the password.
    throw new SentvecError(
      'invalid-argument',
      `"${redactUrl(url)}" is not a valid URL. Encode special characters of the password as %XX.`,
    );
  }
}

function openCluster(hosts: string, role: ConnectionRole, options: RedisOptions): OpenedConnection {
  const [first = '', ...others] = hosts.split(',');
  const { username, password, hostname, port } = new URL(`redis://${first}`);
  const nodes = [{ host: hostname, port: Number(port || 6379) }, ...others.map(hostAndPort)];
  const credentials = {
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
  };
  const connection = new Cluster(nodes, {
    lazyConnect: true,
    enableOfflineQueue: role === 'worker',
    clusterRetryStrategy: (times) => (role === 'producer' && times > 2 ? null : Math.min(times * 100, 1000)),
    redisOptions: { ...options, ...credentials },
  });
  return { connection, denial: () => denialOf(new Redis({ ...options, ...credentials, ...nodes[0] })) };
}

async function denialOf(node: Redis): Promise<Error | undefined> {
  let denial: Error | undefined;
  node.on('error', (error: Error) => {
    if (isDenial(reasonOf(error))) denial = error;
  });
  await node.connect().catch(() => {});
  node.disconnect();
  return denial;
}

function hostAndPort(text: string): { host: string; port: number } {
  const { hostname, port } = new URL(`redis://${text}`);
  return { host: hostname, port: Number(port || 6379) };
}

/** Checks the configuration of the server. @throws SentvecError `queue-unavailable` for a server that may lose jobs */
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
  // Not in a cluster, where write commands are always routed to a primary.
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
      `The Redis at ${name} has maxmemory-policy ${policy}: it deletes jobs when its memory is full. ` +
        'Set it to noeviction: redis-cli config set maxmemory-policy noeviction.',
    );
  }
}

/** Whether the server, or each primary of a cluster, keeps its data across a restart. */
export async function isDurable(connection: RedisConnection): Promise<boolean> {
  const infos = await Promise.all(primariesOf(connection).map((server) => server.info('persistence')));
  return infos.every((info) => /^aof_enabled:1/m.test(info));
}

/** The message of a Redis error, without the script name and without a full stop. */
export function reasonOf(thrown: unknown): string {
  // The error of a cluster only states that it is unreachable; the error of the last node has the reason.
  const error = (thrown as { readonly lastNodeError?: unknown } | undefined)?.lastNodeError ?? thrown;
  // If the message is a line of OpenSSL's error log, extract its reason.
  const { reason: plain, code } = error as { readonly reason?: unknown; readonly code?: unknown };
  const reason =
    typeof plain === 'string' && String(code).startsWith('ERR_SSL')
      ? plain
      : error instanceof Error
        ? error.message || String(code)
        : String(error);
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
        : (tlsHint(reason, url.startsWith('rediss')) ?? 'Check that it is running and that the URL is right.');
  return new SentvecError('queue-unavailable', `No Redis at ${redactUrl(url)}: ${reason}. ${hint}`, {}, { cause });
}

/** Settles like the promise, but rejects after `milliseconds` or when the signal is aborted. */
export function within<T>(promise: Promise<T>, milliseconds: number, signal?: AbortSignal): Promise<T> {
  const error = () => new DOMException(`no answer within ${milliseconds} ms`, 'TimeoutError');
  return withDeadline(() => promise, { milliseconds, error, signal });
}
