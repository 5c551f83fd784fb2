// Workers that use Redis over TLS, with a private authority and client certificates, on one server or a cluster of
// three.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { queueRuntime, startQueueWorker, type RedisTls } from '@sentvec/queue';
import { embedCorpusWorkflow } from '@sentvec/workflow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contents, embedHere, Fleet, texts, tinyModel } from './fleet.ts';
import {
  makeCertificates,
  startSecureCluster,
  startSecureRedis,
  type Certificates,
  type FullTls,
  type SecureRedis,
} from './secure-redis.ts';

let folder: string;
let certificates: Certificates;
let redis: SecureRedis;
let fleet: Fleet;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-certificates-'));
  certificates = await makeCertificates(folder);
  redis = await startSecureRedis(certificates);
  fleet = await Fleet.open(redis);
});

afterAll(async () => {
  await fleet.close();
  await rm(folder, { recursive: true });
});

/** Returns the environment variables of a worker process. */
const environment = ({ caFile, certFile, keyFile, serverName: name }: FullTls, url: string) => ({
  SENTVEC_REDIS_URL: url,
  SENTVEC_REDIS_CA: caFile,
  SENTVEC_REDIS_CERT: certFile,
  SENTVEC_REDIS_KEY: keyFile,
  SENTVEC_REDIS_SERVER_NAME: name,
});

/**
 * Embeds a corpus with two workers and in this process, and returns both outputs. Calls `during` while the workers are
 * active.
 */
async function embedThrough(url: string, output: string, during: () => Promise<void> = async () => {}) {
  const { tls } = certificates;
  const corpus = await fleet.corpus('corpus.jsonl', texts(1200));
  const workers = [await fleet.start(environment(tls, url)), await fleet.start(environment(tls, url))];
  const runtime = await queueRuntime({ url, tls, connectTimeout: 20_000 });
  const request = { inputs: [corpus], output, chunkRows: 50 };
  const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
  await expect.poll(async () => (await run.status()).items?.done ?? 0, { timeout: 50_000 }).toBeGreaterThan(0);
  await during();
  expect(await run.result()).toMatchObject({ rows: 1200, rejected: 0, shards: 24 });
  await runtime.close();
  await fleet.stopWorkers();
  const log = JSON.stringify(workers.map((worker) => worker.log));
  expect(log).toContain(tls.keyFile);
  expect(log).not.toContain((await readFile(tls.keyFile, 'utf8')).split('\n')[1]);
  await embedHere(corpus, `${output}-here`, 50);
  return { actual: await contents(output), expected: await contents(`${output}-here`) };
}

describe('a fleet over TLS with client certificates', () => {
  it('writes the same bytes as an in-process run', async () => {
    const { actual, expected } = await embedThrough(`rediss://${redis.address}`, fleet.path('one'));
    expect(actual).toEqual(expected);
  });

  it('writes the same bytes through a cluster of three during a failover', async () => {
    const cluster = await startSecureCluster(certificates, 'sentvec');
    try {
      const { actual, expected } = await embedThrough(cluster.url, fleet.path('cluster'), cluster.failOver);
      expect(actual).toEqual(expected);
    } finally {
      await cluster.stop();
    }
  });
});

describe('a connection over TLS that cannot be made says what to do', () => {
  const mistakes: readonly (readonly [string, () => RedisTls, RegExp])[] = [
    ['no authority', () => ({ ...certificates.tls, caFile: undefined }), /self-signed certificate.*`tls\.caFile`/],
    [
      'another authority',
      () => ({ ...certificates.tls, caFile: certificates.stranger.caFile }),
      /self-signed certificate.*`tls\.caFile`/,
    ],
    ['another name', () => ({ ...certificates.tls, serverName: 'other.test' }), /other\.test.*`tls\.serverName`/],
    ['the name of the URL', () => ({ ...certificates.tls, serverName: undefined }), /127\.0\.0\.1.*`tls\.serverName`/],
    [
      'no client certificate',
      () => ({ caFile: certificates.tls.caFile, serverName: certificates.tls.serverName }),
      /`tls\.certFile`/,
    ],
    [
      'a stranger',
      () => ({ ...certificates.stranger, caFile: certificates.tls.caFile, serverName: certificates.tls.serverName }),
      /`tls\.certFile`/,
    ],
  ];
  it.each(mistakes)('%s', async (_what, tls, message) => {
    const error = { code: 'queue-unavailable', message: expect.stringMatching(message) };
    for (const scheme of ['rediss', 'rediss+cluster']) {
      const url = `${scheme}://${redis.address}`;
      await expect(queueRuntime({ url, tls: tls(), connectTimeout: 20_000 })).rejects.toMatchObject(error);
      await expect(startQueueWorker({ url, tls: tls(), workflows: [] })).rejects.toMatchObject(error);
    }
  });

  it('the port without TLS', async () => {
    const url = redis.url.replace('redis:', 'rediss:');
    const error = { code: 'queue-unavailable', message: expect.stringMatching(/does it speak TLS on this port\?/) };
    await expect(queueRuntime({ url })).rejects.toMatchObject(error);
  });

  it('files and options that do not fit', async () => {
    const { tls, stranger } = certificates;
    const empty = join(folder, 'empty.pem');
    await writeFile(empty, 'not a certificate');
    const url = `rediss://${redis.address}`;
    const refused = async (given: RedisTls, code: string, message: RegExp, to = url) =>
      expect(queueRuntime({ url: to, tls: given })).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    await refused(tls, 'invalid-argument', /`tls\.caFile`.*must begin with rediss:/, redis.url);
    await refused({ ...tls, keyFile: undefined }, 'invalid-argument', /both `tls\.certFile` and `tls\.keyFile`/);
    await refused({ ...tls, caFile: empty }, 'invalid-argument', /empty\.pem \(`tls\.caFile`\) holds no certificate/);
    await refused({ ...tls, certFile: empty }, 'invalid-argument', /\(`tls\.certFile`\) holds no certificate/);
    await refused({ ...tls, keyFile: empty }, 'invalid-argument', /\(`tls\.keyFile`\) holds no private key/);
    await refused({ ...tls, keyFile: stranger.keyFile }, 'invalid-argument', /is not that of the certificate/);
    await refused({ ...tls, caFile: join(folder, 'missing.pem') }, 'io-failed', /missing\.pem/);
    const unknown = { ...tls, ca: '' };
    await refused(unknown, 'invalid-argument', /"?ca"?/);
  });
});
