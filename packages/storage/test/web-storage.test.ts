// Files on web servers, and file URLs.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  hubStorage,
  isStorageUri,
  joinLocation,
  locateFile,
  openStorage,
  s3Storage,
  webStorage,
  type FileVersion,
} from '@sentvec/storage';
import { storageContract } from '@sentvec/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { discard, followRedirects } from '../src/http.ts';

const files = new Map<string, Buffer>();
let server: Server;
let origin = '';
let broken = 0;

beforeAll(async () => {
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

function answer(request: IncomingMessage, response: ServerResponse): unknown {
  const path = decodeURIComponent(new URL(request.url!, origin).pathname);
  if (path === '/moved') return response.writeHead(302, { location: '/there' }).end();
  if (path === '/circle') return response.writeHead(302, { location: '/circle' }).end();
  if (path === '/secret') return response.writeHead(403).end();
  if (broken > 0) {
    broken -= 1;
    return response.writeHead(503, { 'retry-after': '0' }).end();
  }
  const bytes = files.get(path);
  if (bytes === undefined) return response.writeHead(404).end('not here');
  const etag = `"${bytes.length}-${bytes.subarray(0, 8).toString('hex')}"`;
  const [, first = '', last = ''] = /^bytes=(\d+)-(\d*)$/u.exec(request.headers.range ?? '') ?? [];
  if (request.headers['if-match'] !== undefined && request.headers['if-match'] !== etag)
    return response.writeHead(412).end();
  const isStreamed = path === '/streamed' || path === '/streamed-whole';
  if (first === '' || path === '/whole' || path === '/streamed-whole')
    return response
      .writeHead(200, { etag, ...(!isStreamed && { 'content-length': bytes.length }) })
      .end(request.method === 'HEAD' ? '' : bytes);
  const end = last === '' ? bytes.length : Math.min(bytes.length, Number(last) + 1);
  if (Number(first) >= end) return response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
  const range = `bytes ${first}-${end - 1}/${bytes.length}`;
  response.writeHead(206, { etag, 'content-range': range, 'content-length': end - Number(first) });
  return response.end(bytes.subarray(Number(first), end));
}

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

let stores = 0;
storageContract('a web server', async () => webStorage(`${origin}/${(stores += 1)}`), {
  readOnly: 'web servers have no way to write',
  unlistable: 'nor to list',
  writer: (storage) => ({
    async write(key, content): Promise<FileVersion | undefined> {
      await storage.stat(key); // Refuses invalid keys.
      const blocks: Uint8Array[] = [];
      for await (const block of typeof content === 'string'
        ? [Buffer.from(content)]
        : content instanceof Uint8Array
          ? [content]
          : content)
        blocks.push(block);
      const bytes = Buffer.concat(blocks);
      files.set(`${storage.uri.slice(origin.length)}/${key}`, bytes);
      return { bytes: bytes.length, version: '' };
    },
  }),
});

it('follows redirects, waits for busy servers, and reports failed requests', async () => {
  const storage = webStorage(origin);
  files.set('/there', Buffer.from('content'));
  files.set('/whole', Buffer.from('content'));
  broken = 2;
  expect(Buffer.from(await storage.read('moved', { start: 3 })).toString()).toBe('tent');
  await expect(storage.read('circle')).rejects.toThrow(/more than 10 redirects/u);
  await expect(storage.read('secret')).rejects.toThrow(/server refuses .*\/secret \(403\)\. Download it/u);
  await expect(storage.read('whole', { start: 3 })).rejects.toThrow(
    /does not support range requests\. Download the file/u,
  );
  await expect(storage.write('new', 'x')).rejects.toThrow(/is read-only/u);
  await expect(storage.list('')[Symbol.asyncIterator]().next()).rejects.toThrow(/cannot be listed/u);
});

it('sends credentials only to the server for which they are meant', async () => {
  const seen: (readonly unknown[])[] = [];
  const serve = async (reply: (response: ServerResponse) => void): Promise<Server> => {
    const each = createServer(({ headers, url }, response) => {
      seen.push([url, headers.authorization, headers.cookie, headers.range]);
      reply(response);
    });
    await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
    return each;
  };
  const portOf = (each: Server): number => (each.address() as AddressInfo).port;
  const other = await serve((response) => response.end());
  const first = await serve((response) => {
    const location = seen.length === 1 ? '/2' : `http://127.0.0.1:${portOf(other)}/3`;
    response.writeHead(302, { location }).end();
  });
  try {
    const headers = { Authorization: 'Bearer secret', Cookie: 'a=secret', Range: 'bytes=0-1' };
    await discard(await followRedirects({ method: 'GET', url: `http://127.0.0.1:${portOf(first)}/1`, headers }));
    expect(seen).toEqual([
      ['/1', 'Bearer secret', 'a=secret', 'bytes=0-1'],
      ['/2', 'Bearer secret', 'a=secret', 'bytes=0-1'],
      ['/3', undefined, undefined, 'bytes=0-1'],
    ]);
  } finally {
    for (const each of [first, other]) each.closeAllConnections();
    first.close();
    other.close();
  }
});

it('sends a range request if the server does not report the length of a file', async () => {
  const storage = webStorage(origin);
  files.set('/streamed', Buffer.from('content'));
  files.set('/streamed-whole', Buffer.from('content'));
  expect(await storage.stat('streamed')).toMatchObject({ bytes: 7 });
  await expect(storage.stat('streamed-whole')).rejects.toThrow(/does not support range requests/u);
  await expect(storage.read('streamed-whole')).rejects.toThrow(/does not report the size of .*\/streamed-whole,/u);
});

it('resolves a URI to its storage and the unmodified key', () => {
  const found = (uri: string): string[] => {
    const { storage, key } = locateFile(uri);
    return [storage.uri, key];
  };
  expect(found('s3://bucket/a b/ä%20+?#.jsonl')).toEqual(['s3://bucket', 'a b/ä%20+?#.jsonl']);
  expect(found('gs://bucket/a?b')).toEqual(['gs://bucket', 'a?b']);
  expect(found('az://$web/key')).toEqual(['az://$web', 'key']);
  expect(found('https://host:8443/a%20b/c.jsonl')).toEqual(['https://host:8443', 'a b/c.jsonl']);
  expect(['s3://b/k', 'HTTPS://h', 'C:\\data', '/data', 'data://', 'a/b:c'].map(isStorageUri)).toEqual([
    true,
    true,
    false,
    false,
    true,
    false,
  ]);
  expect([joinLocation('s3://b', 'k'), joinLocation('s3://b/p/', 'k'), joinLocation('/data', 'k')]).toEqual([
    's3://b/k',
    's3://b/p/k',
    '/data/k',
  ]);
  expect([openStorage('s3://b/p/').uri, openStorage('s3://b').uri, openStorage('/data/x').uri]).toEqual([
    's3://b/p',
    's3://b',
    '/data/x',
  ]);
});

it.each([
  ['ftp://host/file', /the scheme ftp:\/\/ is not supported/u],
  ['ftp://me:secret@host/file', /^ftp:\/\/…@host\/file cannot be used: the scheme ftp:\/\/ is not supported/u],
  ['s3:///key', /no valid bucket name after "s3:\/\/"/u],
  ['s3://AKIA:secret@bucket/key', /^s3:\/\/…@bucket\/key cannot be used: it has no valid bucket name after "s3:\/\/"/u],
  ['gs://me:secret@bucket/key', /^gs:\/\/…@bucket\/key cannot be used: it has no valid bucket name after "gs:\/\/"/u],
  ['az://container/key?sv=2021&sig=secret', /^az:\/\/container\/key\?… cannot be used: it contains a signature/u],
  ['https://me:secret@host/file', /^https:\/\/…@host\/file cannot be used: it contains a password or a query/u],
  [
    'https://host/file?X-Amz-Signature=secret',
    /^https:\/\/host\/file\?… cannot be used: it contains a password or a query/u,
  ],
])('refuses %s with an error that contains no secrets', (uri, expected) => {
  expect(() => locateFile(uri)).toThrow(expected);
  expect(() => locateFile(uri)).not.toThrow(/secret@|=secret/u);
});

it('refuses counts with which it would retry forever or never, and unknown options', () => {
  for (const count of [0, NaN, Infinity, 1.5]) {
    expect(() => webStorage('http://localhost', { attempts: count })).toThrow(/^attempts must be a whole number/u);
    expect(() => s3Storage('bucket', '', { attempts: count })).toThrow(/^attempts must be a whole number/u);
    expect(() => hubStorage('a/b', { attempts: count })).toThrow(/^attempts must be a whole number/u);
    expect(() => s3Storage('bucket', '', { partBytes: count })).toThrow(/^partBytes must be a whole number/u);
  }
  expect(() => webStorage('http://localhost', { retries: 2 } as object)).toThrow(/has no option "retries"/u);
});
