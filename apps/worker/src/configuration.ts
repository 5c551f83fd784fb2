// Reads the settings of a worker from flags and the environment, and checks them.
import { isAbsolute, resolve } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { redactUrl, type RateLimitSetting, type RedisTls } from '@sentvec/queue';
import { settings, type SettingName } from './settings.ts';

/** A worker's settings, checked. */
export interface WorkerConfiguration {
  readonly redis: string;
  /** Its files by absolute paths. */
  readonly tls: RedisTls;
  readonly queue: string;
  /** Absolute paths. */
  readonly roots: readonly string[];
  readonly buckets: readonly string[];
  readonly models: readonly string[];
  /** Absolute path. `undefined` means that vectors are not cached. */
  readonly cache: string | undefined;
  readonly threads: number | undefined;
  readonly concurrency: number;
  readonly window: number;
  /**
   * Maximum number of steps that all workers of the queue execute at the same time. 0 removes an earlier limit,
   * `undefined` keeps it. */
  readonly globalConcurrency: number | undefined;
  /** `null` removes an earlier limit, `undefined` keeps it. */
  readonly rateLimit: RateLimitSetting | null | undefined;
  /** Milliseconds. */
  readonly retryTime: number;
  readonly host: string;
  readonly port: number;
  readonly token: string | undefined;
  /** Absolute paths or package names. */
  readonly plugins: readonly string[];
  /** Milliseconds. */
  readonly stopTimeout: number;
  readonly logLevel: LogLevel;
}

/** See `--log-level`. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];
const shortestToken = 16;

/**
 * Reads and checks the settings of a worker.
 *
 * @param flags values from the command line, by flag name
 * @throws SentvecError `invalid-argument`; its message names the flag and the environment variable
 */
export function readConfiguration(
  flags: Readonly<Record<string, string | undefined>>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): WorkerConfiguration {
  const text = (name: SettingName): string | undefined => {
    const setting = settings[name];
    return flags[setting.flag] ?? (environment[setting.variable] || undefined) ?? setting.default;
  };
  const file = (name: SettingName): string | undefined => {
    const path = text(name);
    return path === undefined ? undefined : resolve(path);
  };
  const list = (name: SettingName) =>
    (text(name) ?? '')
      .split(',')
      .map((entry) => entry.trim())
      .filter(Boolean);
  const configuration: WorkerConfiguration = {
    redis: text('redis')!,
    tls: {
      caFile: file('redisCa'),
      certFile: file('redisCert'),
      keyFile: file('redisKey'),
      serverName: text('redisServerName'),
    },
    queue: text('queue')!,
    roots: list('roots').map((root) => resolve(root)),
    buckets: list('buckets'),
    models: list('models').map(absoluteModel),
    cache: file('cache'),
    threads: count('threads', text('threads')),
    concurrency: count('concurrency', text('concurrency'))!,
    window: count('window', text('window'))!,
    globalConcurrency: count('globalConcurrency', text('globalConcurrency'), 0),
    rateLimit: rateLimit(text('rateLimit')),
    retryTime: count('retryTime', text('retryTime'), 0)! * 60_000,
    host: text('host')!,
    port: count('port', text('port'), 0)!,
    token: text('token'),
    plugins: list('plugins').map((plugin) => (/^[./]/.test(plugin) ? resolve(plugin) : plugin)),
    stopTimeout: count('stopTimeout', text('stopTimeout'))! * 1000,
    logLevel: logLevel(text('logLevel')!),
  };
  checkTogether(configuration);
  return configuration;
}

/** Returns the configuration without secrets, for the log. */
export function describeConfiguration(configuration: WorkerConfiguration): Record<string, unknown> {
  const { redis, token, ...rest } = configuration;
  return { redis: redactUrl(redis), token: token === undefined ? 'none' : 'set', ...rest };
}

/** Whether an address is a loopback address, which only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function checkTogether({ host, token, port }: WorkerConfiguration): void {
  if (token === undefined && !isLoopback(host)) {
    throw invalid(
      'token',
      `is required when the server listens on ${host}: otherwise everyone who can connect could read and control the queue`,
    );
  }
  if (token !== undefined && token.length < shortestToken)
    throw invalid('token', `must have at least ${shortestToken} characters`);
  if (port > 65_535) throw invalid('port', `must be at most 65535, not ${port}`);
}

/** Resolves the path of a model folder, because jobs name it by its absolute path. Returns other names unchanged. */
function absoluteModel(model: string): string {
  return /^\.{0,2}\//.test(model) && !isAbsolute(model) ? resolve(model) : model;
}

function count(name: SettingName, value: string | undefined, least = 1): number | undefined {
  if (value === undefined) return undefined;
  const number = /^\d+$/.test(value) ? Number(value) : NaN;
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw invalid(name, `must be a whole number of at least ${least}, not "${value}"`);
}

function rateLimit(value: string | undefined): WorkerConfiguration['rateLimit'] {
  if (value === undefined) return undefined;
  if (value === '0') return null;
  const [, max, seconds] = /^([1-9]\d*)\/([1-9]\d*)$/.exec(value) ?? [];
  if (max === undefined)
    throw invalid(
      'rateLimit',
      `must have the form STEPS/SECONDS, such as 100/60, or be 0 for no limit, not "${value}"`,
    );
  return { max: Number(max), duration: Number(seconds) * 1000 };
}

function logLevel(value: string): LogLevel {
  const level = logLevels.find((known) => known === value);
  if (level === undefined) throw invalid('logLevel', `must be one of ${logLevels.join(', ')}, not "${value}"`);
  return level;
}

function invalid(name: SettingName, what: string): SentvecError {
  const { flag, variable } = settings[name];
  return new SentvecError('invalid-argument', `--${flag} (${variable}) ${what}.`, { setting: name });
}
