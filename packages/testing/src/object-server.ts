/** What the servers of objects for tests have in common: calls, answers, faults on demand, ranges, XML. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as a server of objects has understood it. */
export interface ObjectCall {
  readonly method: string;
  readonly bucket: string;
  /** Empty for requests for the bucket. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Path and query as they came. */
  readonly url: string;
}

/** An answer. */
export interface ObjectReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | string | undefined;
}

/**
 * What goes wrong with a call: the connection breaks before it is carried out, or after it; another answer comes instead
 * of carrying it out; its answer is changed; its answer breaks after so many bytes of the body.
 */
export type ObjectFault =
  | 'lose-request'
  | 'lose-answer'
  | { readonly instead: ObjectReply }
  | { readonly change: (reply: ObjectReply) => ObjectReply }
  | { readonly cut: number };

/** Decides of each call what goes wrong with it. */
export type FaultOf = (call: ObjectCall) => ObjectFault | undefined | Promise<ObjectFault | undefined>;

/** Options that all servers of objects have. */
export interface ObjectServerOptions {
  /** Buckets that are there. @default ['bucket'] */
  readonly buckets?: readonly string[] | undefined;
  /** Decides of each call what goes wrong with it. @default nothing does */
  readonly fault?: FaultOf | undefined;
  /** Milliseconds by which its clock is ahead. @default 0 */
  readonly clock?: number | undefined;
  /** Port to listen at. @default a free one */
  readonly port?: number | undefined;
}

/** An object that is stored. */
export interface StoredObject {
  readonly bytes: Buffer;
  /** Its version, as the server names it in a header. */
  readonly etag: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A server that is running. */
export interface ObjectServer {
  readonly endpoint: string;
  /** Variables by which the tools of its maker, and sentvec, find it. */
  readonly environment: Readonly<Record<string, string>>;
  /** What is stored in a bucket, by key. A test may change it. */
  objects(bucket?: string): Map<string, StoredObject>;
  /** Puts an object, as another program would. */
  put(key: string, content: Uint8Array | string, bucket?: string): void;
  /** Writes in parts that are neither finished nor given up. */
  uploads(): readonly string[];
  /** Changes what goes wrong. */
  setFault(fault: FaultOf | undefined): void;
  close(): Promise<void>;
}

/** How a kind of server understands calls and answers them. */
export interface Handling {
  /** Bucket and key of a path, which is not decoded. */
  readonly locate: (path: string) => { readonly bucket: string; readonly key: string };
  /** The content of a body. @default the body */
  readonly decode?: ((headers: ObjectCall['headers'], body: Buffer) => Buffer) | undefined;
  /** Why a call is not carried out. `now`: by the server's clock */
  readonly refuse: (call: ObjectCall, now: number) => ObjectReply | undefined;
  readonly handle: (call: ObjectCall) => ObjectReply;
}

/** Listens at a free port of this machine. */
export async function listen(
  options: ObjectServerOptions,
  { locate, decode, refuse, handle }: Handling,
): Promise<Pick<ObjectServer, 'endpoint' | 'setFault' | 'close'>> {
  let { fault } = options;
  const clock = (): number => Date.now() + (options.clock ?? 0);
  const receive = async (request: IncomingMessage): Promise<ObjectCall> => {
    const blocks: Buffer[] = [];
    for await (const block of request as AsyncIterable<Buffer>) blocks.push(block);
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const { pathname, searchParams: query } = new URL(request.url!, 'http://objects');
    const body = Buffer.concat(blocks);
    return {
      method: request.method!,
      ...locate(pathname),
      query,
      headers,
      body: decode?.(headers, body) ?? body,
      url: request.url!,
    };
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const call = await receive(request);
    const trouble = await fault?.(call);
    if (trouble === 'lose-request') return void request.socket.destroy();
    const isInstead = typeof trouble === 'object' && 'instead' in trouble;
    const refused = isInstead ? trouble.instead : refuse(call, clock());
    let reply = refused ?? handle(call);
    if (typeof trouble === 'object' && 'change' in trouble) reply = trouble.change(reply);
    if (trouble === 'lose-answer') return void request.socket.destroy();
    const body = Buffer.from(reply.body ?? '');
    const headers = { date: new Date(clock()).toUTCString(), 'content-length': String(body.length), ...reply.headers };
    response.writeHead(reply.status, headers);
    if (call.method === 'HEAD') return void response.end();
    if (typeof trouble !== 'object' || !('cut' in trouble)) return void response.end(body);
    response.write(body.subarray(0, trouble.cut), () => request.socket.destroy());
  };
  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    setFault: (next) => (fault = next),
    close: () => close(server),
  };
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Bucket and key of a path such as `/bucket/some/key`. */
export function locateInPath(path: string): { readonly bucket: string; readonly key: string } {
  const [, bucket = '', ...key] = path.split('/');
  return { bucket, key: decodeURIComponent(key.join('/')) };
}

/** An answer with an object or a range of it. @param own headers of the object */
export function readReply(
  range: string | undefined,
  bytes: Buffer,
  own: Readonly<Record<string, string>>,
  outOfRange: (headers: Readonly<Record<string, string>>) => ObjectReply,
): ObjectReply {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/u.exec(range ?? '') ?? [];
  if (first === '' && last === '')
    return { status: 200, headers: { ...own, 'content-length': String(bytes.length) }, body: bytes };
  const start = first === '' ? Math.max(0, bytes.length - Number(last)) : Number(first);
  const end = first === '' || last === '' ? bytes.length : Math.min(bytes.length, Number(last) + 1);
  if (start >= bytes.length || start >= end) return outOfRange({ 'content-range': `bytes */${bytes.length}` });
  const headers = {
    'content-range': `bytes ${start}-${end - 1}/${bytes.length}`,
    'content-length': String(end - start),
  };
  return { status: 206, headers: { ...own, ...headers }, body: bytes.subarray(start, end) };
}

/** The keys that begin with a prefix and come after another, in the order of their bytes. */
export function keysInOrder(keys: Iterable<string>, prefix: string, after: string): string[] {
  return [...keys]
    .filter((key) => key.startsWith(prefix))
    .map((key) => ({ key, order: Buffer.from(key) }))
    .filter(({ order }) => order.compare(Buffer.from(after)) > 0)
    .sort((a, b) => a.order.compare(b.order))
    .map(({ key }) => key);
}

/** An answer that refuses a call, as S3, Google and Azure word it. */
export function failure(status: number, code: string, headers: Readonly<Record<string, string>> = {}): ObjectReply {
  const body = `<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>It says ${code}.</Message></Error>`;
  return { status, headers: { 'content-type': 'application/xml', ...headers }, body };
}

/** An answer with a document of XML. */
export function document(name: string, content: string): ObjectReply {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<${name}>${content}</${name}>`;
  return { status: 200, headers: { 'content-type': 'application/xml' }, body };
}

/** An element with a text. */
export function element(name: string, text: string | number | boolean): string {
  const escaped = String(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
  return `<${name}>${escaped}</${name}>`;
}

/** SHA-256 of a content. */
export function sha256(content: Uint8Array | string, encoding: 'hex' | 'base64'): string {
  return createHash('sha256').update(content).digest(encoding);
}

/** Signatures older or younger than this are refused. */
export const maxClockSkew: number = 15 * 60_000;
