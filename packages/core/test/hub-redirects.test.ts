import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchThroughRedirects } from '../src/node/hub/redirects.ts';

const signal = AbortSignal.timeout(10_000);
const headers = { authorization: 'Bearer secret', range: 'bytes=1-' };
const seen: { path: string; authorization: string | undefined; range: string | undefined }[] = [];
let server: Server;
let port: number;

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url!;
    seen.push({ path, authorization: request.headers.authorization, range: request.headers.range });
    const targets: Record<string, string> = {
      '/relative': 'end',
      '/elsewhere': `http://localhost:${port}/back`,
      '/back': `http://127.0.0.1:${port}/end`,
      '/circle': '/circle',
      '/file': 'file:///etc/passwd',
    };
    const location = targets[path];
    if (location === undefined) response.writeHead(200, { etag: '"last"' }).end('content');
    else response.writeHead(307, { location, ...(path === '/elsewhere' && { 'x-linked-etag': '"first"' }) }).end();
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
});

describe('fetchThroughRedirects', () => {
  it('keeps the token on the same server', async () => {
    seen.length = 0;
    const result = await fetchThroughRedirects(`http://127.0.0.1:${port}/relative`, headers, signal);
    expect(result).toMatchObject({ finalUrl: `http://127.0.0.1:${port}/end`, etag: '"last"' });
    expect(await result.response.text()).toBe('content');
    expect(seen).toEqual(['/relative', '/end'].map((path) => ({ path, ...headers })));
  });

  it('drops the token for good after a redirect to another server, and keeps the ETag of the hub', async () => {
    seen.length = 0;
    const result = await fetchThroughRedirects(`http://127.0.0.1:${port}/elsewhere`, headers, signal);
    expect(result.etag).toBe('"first"');
    expect(seen.map(({ authorization }) => authorization)).toEqual(['Bearer secret', undefined, undefined]);
    expect(seen.map(({ range }) => range)).toEqual(['bytes=1-', 'bytes=1-', 'bytes=1-']);
  });

  it('refuses loops, and servers that are not encrypted', async () => {
    await expect(fetchThroughRedirects(`http://127.0.0.1:${port}/circle`, {}, signal)).rejects.toThrow(
      'more than 10 times',
    );
    await expect(fetchThroughRedirects(`http://127.0.0.1:${port}/file`, {}, signal)).rejects.toThrow('not encrypted');
  });
});
