import { describeConfiguration, readConfiguration } from '@sentvec/worker';
import { describe, expect, it } from 'vitest';
import { settings } from '../src/settings.ts';

describe('the configuration of a worker', () => {
  it('comes from flags, then the environment, then the defaults', () => {
    const environment = {
      SENTVEC_CONCURRENCY: '3',
      SENTVEC_QUEUE: 'theirs',
      SENTVEC_MODELS: '',
      SENTVEC_ROOTS: '/data, /more',
    };
    expect(readConfiguration({ concurrency: '5', 'rate-limit': '10/60', 'stop-timeout': '7' }, environment)).toEqual({
      redis: 'redis://127.0.0.1:6379',
      tls: {},
      queue: 'theirs',
      roots: ['/data', '/more'],
      buckets: [],
      models: ['use-lite'],
      cache: undefined,
      threads: undefined,
      concurrency: 5,
      window: 512,
      globalConcurrency: undefined,
      rateLimit: { max: 10, duration: 60_000 },
      retryTime: 900_000,
      host: '127.0.0.1',
      port: 7766,
      token: undefined,
      plugins: [],
      stopTimeout: 7000,
      logLevel: 'info',
    });
  });

  it('accepts every setting as a flag and as an environment variable', () => {
    const flags = Object.values(settings).map(({ flag }) => flag);
    const variables = Object.values(settings).map(({ variable }) => variable);
    expect(new Set([...flags, ...variables]).size).toBe(2 * flags.length);
    expect(variables.every((name) => name.startsWith('SENTVEC_'))).toBe(true);
  });

  it('removes a global limit if the value is 0', () => {
    expect(readConfiguration({ 'global-concurrency': '0' }, {}).globalConcurrency).toBe(0);
  });

  it('refuses wrong values with a message that names the flag and the variable', () => {
    const mistakes: [string, string][] = [
      ['concurrency', '0'],
      ['concurrency', 'two'],
      ['window', '1.5'],
      ['threads', '-1'],
      ['global-concurrency', ' '],
      ['rate-limit', '100'],
      ['rate-limit', '0/1'],
      ['port', '65536'],
      ['port', '1e3'],
      ['stop-timeout', ''],
      ['log-level', 'loud'],
      ['token', 'short'],
      ['host', '192.168.0.1'],
    ];
    for (const [flag, value] of mistakes) {
      const expected = flag === 'host' ? /--token \(SENTVEC_TOKEN\)/ : new RegExp(`--${flag} \\(SENTVEC_[A-Z_]+\\)`);
      expect(() => readConfiguration({ [flag]: value }, {}), `${flag} ${value}`).toThrow(expected);
    }
  });

  it('is printed without secrets', () => {
    const flags = { redis: 'rediss://user:hunter2@redis.example:6380', token: 'a secret of many letters' };
    const told = JSON.stringify(describeConfiguration(readConfiguration(flags, {})));
    expect(told).toContain('rediss://user:***@redis.example:6380');
    expect(told).not.toMatch(/hunter2|a secret/);
  });
});
