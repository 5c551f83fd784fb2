// S3: the storage contract, faults of a store, and refused requests.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { s3Storage, type Storage } from '@sentvec/storage';
import { startS3, storageContract, type ObjectFault, type S3Server } from '@sentvec/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { failure, scriptFaults } from './scripted-faults.ts';

const partBytes = 5 << 20;
let server: S3Server;
const { calls, fail } = scriptFaults(() => server);
let stores = 0;

beforeAll(async () => {
  server = await startS3();
});
beforeEach(() => fail());
afterAll(() => server.close());

function open(options: { readonly attempts?: number } = {}): Storage {
  return s3Storage('bucket', `test/${(stores += 1)}`, { environment: server.environment, partBytes, ...options });
}

storageContract('S3', async () => open(), { streamBytes: 2 * partBytes + 1000 });

describe('a store that fails', () => {
  const slowDown: ObjectFault = {
    instead: { status: 503, headers: { 'retry-after': '0' }, body: '<Error><Code>SlowDown</Code></Error>' },
  };

  it('gets retries after 503, 500, 409, and after broken connections', async () => {
    const storage = open();
    fail(slowDown, { instead: { status: 500 } }, 'lose-request', { instead: { status: 409 } });
    await storage.write('file', 'content', { replaces: null });
    expect(calls).toHaveLength(5);
    fail(slowDown, 'lose-answer', { instead: { status: 429 } });
    expect(Buffer.from(await storage.read('file')).toString()).toBe('content');
  });

  it('may return unencoded keys in a list if it does not support encoding-type', async () => {
    const key = `test/${stores + 1}/100% of a+b`;
    const contents = `<Contents><Key>${key}</Key><Size>3</Size><ETag>"e"</ETag></Contents>`;
    const storage = open();
    fail({ instead: { status: 200, body: `<ListBucketResult>${contents}</ListBucketResult>` } });
    const found: string[] = [];
    for await (const file of storage.list('')) found.push(file.key);
    expect(found).toEqual(['100% of a+b']);
  });

  it('makes an upload fail, which closes the source stream', async () => {
    const denied: ObjectFault = { instead: { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' } };
    for (const served of [0, 1, 2]) {
      let closed = 0;
      const source = async function* (): AsyncGenerator<Uint8Array> {
        try {
          for (;;) yield new Uint8Array(partBytes);
        } finally {
          closed += 1;
        }
      };
      fail(...Array.from({ length: served }, () => undefined), denied);
      expect(await failure(open().write('file', source()))).toMatchObject({ code: 'io-failed' });
      expect(closed).toBe(1);
    }
  });

  it('is given up after a number of consecutive failures, with its last response in the error', async () => {
    fail(slowDown, slowDown, slowDown);
    const error = await failure(open({ attempts: 3 }).stat('file'));
    expect(error).toMatchObject({ code: 'io-failed' });
    expect(error.message).toMatch(/failed 3 times in a row: it returned 503.* then try again\.$/u);
    expect(calls).toHaveLength(3);
  });

  it('can set the delay before a retry', async () => {
    const asked = { ...slowDown, instead: { status: 503, headers: { 'retry-after': '1' } } };
    fail(asked);
    const startedAt = performance.now();
    await open()
      .stat('file')
      .catch(() => {});
    expect(performance.now() - startedAt).toBeGreaterThan(990);
  });

  it.each([
    ['a write where nothing was', undefined, null],
    ['a write in place of a version', 'before', 'version'],
  ] as const)('has carried out %s whose answer was lost: that is looked up', async (_, before, replaces) => {
    const storage = open();
    const there = before === undefined ? undefined : await storage.write('file', before);
    fail('lose-answer');
    const written = await storage.write('file', 'after', { replaces: replaces && there!.version });
    expect(written).toEqual(await storage.stat('file'));
    expect(calls.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'HEAD', 'HEAD']);
  });

  it('keeps the object of another writer even if the first response was lost', async () => {
    const storage = open();
    await storage.write('file', 'of another');
    fail('lose-answer');
    expect(await storage.write('file', 'mine', { replaces: null })).toBeUndefined();
    expect(Buffer.from(await storage.read('file')).toString()).toBe('of another');
  });

  it('can complete a multipart upload although its response is lost', async () => {
    const storage = open();
    async function* content(): AsyncGenerator<Uint8Array> {
      for (let part = 0; part < 3; part += 1) yield Buffer.alloc(partBytes, part);
    }
    // The requests create the upload, upload three parts, and complete it.
    fail(undefined, undefined, 'lose-answer', undefined, undefined, 'lose-answer');
    const written = await storage.write('file', content(), { replaces: null });
    expect(written).toEqual(await storage.stat('file'));
    expect(written?.bytes).toBe(3 * partBytes);
    expect(server.uploads()).toEqual([]);
  });

  it('can respond with 200 and then fail to complete a multipart upload', async () => {
    const storage = open();
    fail(undefined, undefined, undefined, {
      instead: { status: 200, body: '<Error><Code>InternalError</Code></Error>' },
    });
    const error = await failure(storage.write('file', streamOf(Buffer.alloc(partBytes + 1))));
    expect(error).toMatchObject({ code: 'io-failed' });
    expect(error.message).toContain('InternalError');
    expect(server.uploads()).toEqual([]);
  });

  it('can send incomplete responses: reading continues where they end', async () => {
    const storage = open();
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251));
    await storage.write('file', bytes);
    fail({ cut: 10 }, { cut: 50_000 }, { cut: 0 }, { cut: 1 });
    expect(bytes.equals(await storage.read('file'))).toBe(true);
    expect(calls.map(({ headers }) => headers['range'])).toEqual([
      undefined,
      'bytes=10-',
      'bytes=50010-',
      'bytes=50010-',
      'bytes=50011-',
    ]);
    expect(new Set(calls.slice(1).map(({ headers }) => headers['if-match'])).size).toBe(1);
  });

  it('can send other bytes than requested: fewer, more, or from another position', async () => {
    const storage = open();
    await storage.write('file', '0123456789');
    const change = (body: string, headers: Record<string, string>): ObjectFault => ({
      change: (reply) => ({
        ...reply,
        body,
        headers: { ...reply.headers, 'content-length': String(body.length), ...headers },
      }),
    });
    fail(
      change('2', {}), // One of three bytes.
      change('345', { 'content-range': 'bytes 2-4/10' }),
      change('34567', {}),
    );
    expect(Buffer.from(await storage.read('file', { start: 2, end: 5 })).toString()).toBe('234');
    fail({ change: (reply) => ({ status: 200, headers: { etag: reply.headers!['etag']! }, body: '0123456789' }) });
    expect(Buffer.from(await storage.read('file', { start: 2, end: 5 })).toString()).toBe('234');
  });

  it('can have another object while the first is being read', async () => {
    const storage = open();
    await storage.write('file', Buffer.alloc(200_000, 1));
    fail({ cut: 10 }, { instead: { status: 412 } });
    expect(await failure(storage.read('file'))).toMatchObject({ details: { changed: true } });
    // A store without support for If-Match sends the other object.
    fail({ cut: 10 }, { change: (reply) => ({ ...reply, headers: { ...reply.headers, etag: '"other"' } }) });
    expect(await failure(storage.read('file'))).toMatchObject({ details: { changed: true } });
  });

  it('lists several pages', async () => {
    const storage = open();
    const prefix = storage.uri.slice('s3://bucket/'.length);
    for (let index = 0; index < 2500; index += 1) server.put(`${prefix}/many/${index}`, 'x');
    server.put(`${prefix}/many/`, '');
    const keys: string[] = [];
    for await (const { key } of storage.list('many/')) keys.push(key);
    expect(keys).toHaveLength(2500);
    expect(calls).toHaveLength(3);
    fail({ cut: 500 }, undefined, { cut: 0 });
    for await (const { key } of storage.list('many/')) keys.push(key);
    expect(keys.slice(2500)).toEqual(keys.slice(0, 2500));
    expect(calls).toHaveLength(5);
  });

  it('can have parts of a killed writer, which are found and deleted', async () => {
    const storage = open();
    async function* killed(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(2 * partBytes);
      server.setFault(() => ({ instead: { status: 403 } }));
      throw new Error('killed');
    }
    await expect(storage.write('run/file', killed())).rejects.toThrow('killed');
    fail();
    expect(server.uploads()).toHaveLength(1);
    await storage.removeUnfinished('other/');
    expect(server.uploads()).toHaveLength(1);
    await storage.removeUnfinished('run/');
    expect(server.uploads()).toEqual([]);
  });
});

describe('a store that refuses a request', () => {
  it('has no such bucket', async () => {
    const storage = s3Storage('none', '', { environment: server.environment });
    for (const call of [() => storage.stat('file'), () => storage.read('file'), () => storage.write('file', 'x')]) {
      const error = await failure(call());
      expect(error).toMatchObject({ code: 'io-failed', details: { missing: true } });
      expect(error.message).toMatch(/^There is no bucket none\./u);
    }
  });

  it('denies access; no error message contains the secret', async () => {
    const environment = { ...server.environment, AWS_SECRET_ACCESS_KEY: 'a wrong secret' };
    const error = await failure(s3Storage('bucket', '', { environment }).read('file'));
    expect(error.message).toMatch(/^S3 denies access to s3:\/\/bucket\/file \(403 SignatureDoesNotMatch\)\. Check/u);
    expect(JSON.stringify([error, error.stack])).not.toMatch(/wrong secret|Signature=/u);
  });

  it('is in another region', async () => {
    const storage = open();
    fail({ instead: { status: 301, headers: { 'x-amz-bucket-region': 'eu-west-3' } } });
    await storage.write('file', 'x');
    expect(calls[1]!.headers['authorization']).toContain('/eu-west-3/s3/');
  });

  it('is in another region, which two concurrent requests discover', async () => {
    const storage = open();
    const elsewhere: ObjectFault = { instead: { status: 301, headers: { 'x-amz-bucket-region': 'eu-west-3' } } };
    fail(elsewhere, elsewhere);
    await Promise.all([storage.write('one', '1'), storage.write('two', '2')]);
    expect(calls).toHaveLength(4);
    for (const call of calls.slice(2)) expect(call.headers['authorization']).toContain('/eu-west-3/s3/');
  });

  it('has a different clock', async () => {
    const other = await startS3({ clock: 3_600_000 });
    try {
      const storage = s3Storage('bucket', '', { environment: other.environment });
      await storage.write('file', 'x');
      expect(await s3Storage('bucket', '', { environment: { ...other.environment } }).stat('file')).toMatchObject({
        bytes: 1,
      });
    } finally {
      await other.close();
    }
  });

  it('no longer accepts the credentials: they are read again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sentvec-profile-'));
    const other = await startS3({ keys: { first: 'one' } });
    try {
      const file = join(folder, 'credentials');
      const profile = (id: string, secret: string): string =>
        `[default]\naws_access_key_id = ${id}\naws_secret_access_key=${secret}\n`;
      await writeFile(file, profile('first', 'one'));
      const environment = {
        AWS_ENDPOINT_URL: other.endpoint,
        AWS_SHARED_CREDENTIALS_FILE: file,
        AWS_CONFIG_FILE: 'none',
      };
      const storage = s3Storage('bucket', '', { environment });
      await storage.write('file', 'x');
      other.setKeys({ second: 'two' });
      await writeFile(file, profile('second', 'two'));
      expect(Buffer.from(await storage.read('file')).toString()).toBe('x');
      // A response to HEAD has no body that could contain an error code.
      other.setKeys({ third: 'three' });
      await writeFile(file, profile('third', 'three'));
      expect(await storage.stat('file')).toMatchObject({ bytes: 1 });
    } finally {
      await other.close();
      await rm(folder, { recursive: true });
    }
  });
});

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
