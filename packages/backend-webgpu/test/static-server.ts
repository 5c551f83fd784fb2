import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

/** A server of files on a free port of this machine. */
export interface StaticServer {
  readonly url: string;
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** The headers that isolate a page, so that it may share memory with its threads. */
const isolation = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

/**
 * Serves folders by the path that their addresses begin with; the longest that fits wins. A page is found without its
 * `.html`, and a folder's `index.html` by the address of the folder.
 */
export async function startStaticServer(
  folders: Readonly<Record<string, string>>,
  isolated = true,
): Promise<StaticServer> {
  const prefixes = Object.keys(folders).sort((a, b) => b.length - a.length);
  const server = createServer((request, response) => {
    void (async () => {
      const path = normalize(decodeURIComponent(new URL(request.url!, 'http://localhost').pathname));
      const prefix = prefixes.find((each) => path.startsWith(each))!;
      const rest = path.slice(prefix.length);
      const named = join(folders[prefix]!, rest === '' || rest.endsWith('/') ? `${rest}index.html` : rest);
      const file = (await sizeOf(named)) === undefined ? `${named}.html` : named;
      const size = await sizeOf(file);
      const headers = {
        ...(isolated && isolation),
        'content-type': types[extname(file)] ?? 'application/octet-stream',
      };
      response.writeHead(
        size === undefined ? 404 : 200,
        size === undefined ? headers : { ...headers, 'content-length': size },
      );
      if (size === undefined || request.method === 'HEAD') response.end();
      else createReadStream(file).pipe(response);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Bytes of a file; `undefined` when there is none. */
async function sizeOf(file: string): Promise<number | undefined> {
  const entry = await stat(file).catch(() => undefined);
  return entry?.isFile() ? entry.size : undefined;
}
