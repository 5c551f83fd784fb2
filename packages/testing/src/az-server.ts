/**
 * A small Azure Blob Storage for tests: block blobs in memory, conditional writes, blocks that are committed later, ranges,
 * lists, shared keys, shared access signatures and tokens, and faults on demand.
 */
import { createHmac } from 'node:crypto';
import {
  document,
  element,
  failure,
  keysInOrder,
  listen,
  maxClockSkew,
  readReply,
  type ObjectCall,
  type ObjectReply,
  type ObjectServer,
  type ObjectServerOptions,
  type StoredObject,
} from './object-server.ts';

/** Options of {@link startAz}. */
export interface AzServerOptions extends ObjectServerOptions {
  /** Name of the account. @default 'account' */
  readonly account?: string | undefined;
  /** The account's key, in base64. @default 'c2VjcmV0' */
  readonly key?: string | undefined;
  /** Tokens that may do everything. @default none */
  readonly tokens?: readonly string[] | undefined;
  /** A shared access signature that may do everything, as it is in a query. @default none */
  readonly sas?: string | undefined;
}

/** A server that is running. */
export interface AzServer extends ObjectServer {
  /** Changes {@link AzServerOptions.tokens}. */
  setTokens(tokens: readonly string[]): void;
}

/** Starts a server at a free port of this machine. */
export async function startAz(options: AzServerOptions = {}): Promise<AzServer> {
  const { account = 'account', key = 'c2VjcmV0', sas } = options;
  let { tokens = [] } = options;
  const store = new AzStore(options.buckets ?? ['bucket']);
  const server = await listen(options, {
    locate: (path) => {
      const [, , bucket = '', ...names] = path.split('/');
      return { bucket, key: decodeURIComponent(names.join('/')) };
    },
    refuse: (call, now) => refusal(call, { account, key, tokens, sas }, now),
    handle: (call) => store.handle(call),
  });
  const endpoint = `${server.endpoint}/${account}`;
  return {
    ...server,
    endpoint,
    environment: { AZURE_STORAGE_ACCOUNT: account, AZURE_STORAGE_KEY: key, AZURE_STORAGE_ENDPOINT: endpoint },
    objects: (bucket = 'bucket') => store.buckets.get(bucket)!,
    put: (name, content, bucket = 'bucket') => void store.put(bucket, name, Buffer.from(content), {}),
    setTokens: (next) => (tokens = next),
    uploads: () => [...store.blocks.keys()].map((name) => name.split('/').slice(1).join('/')),
  };
}

interface Secrets {
  readonly account: string;
  readonly key: string;
  readonly tokens: readonly string[];
  readonly sas: string | undefined;
}

/** An answer that refuses a call; the code is in a header, too, for answers without a body. */
function refuse(status: number, code: string, headers: Readonly<Record<string, string>> = {}): ObjectReply {
  return failure(status, code, { 'x-ms-error-code': code, ...headers });
}

/** Why a call is not carried out: its token, its signature, its time. */
function refusal(
  { method, headers, body, url }: ObjectCall,
  { account, key, tokens, sas }: Secrets,
  now: number,
): ObjectReply | undefined {
  if (headers['x-ms-version'] === undefined) return refuse(400, 'MissingRequiredHeader');
  if (sas !== undefined && url.endsWith(sas)) return undefined;
  const authorization = headers['authorization'] ?? '';
  if (authorization.startsWith('Bearer '))
    return tokens.includes(authorization.slice(7)) ? undefined : refuse(401, 'InvalidAuthenticationInfo');
  const [, name, signature] = /^SharedKey ([^:]+):(.+)$/u.exec(authorization) ?? [];
  if (name !== account) return refuse(403, 'AuthenticationFailed');
  if (Math.abs(Date.parse(headers['x-ms-date'] ?? '') - now) > maxClockSkew) return refuse(403, 'AuthenticationFailed');
  const given = (header: string): string => headers[header] ?? '';
  const length = body.length === 0 ? '' : String(body.length);
  const { pathname, searchParams } = new URL(url, 'http://az');
  const parameters = [...searchParams].map(([each, value]) => `\n${each.toLowerCase()}:${value}`).sort();
  const text = [
    method,
    given('content-encoding'),
    given('content-language'),
    length,
    given('content-md5'),
    given('content-type'),
    given('date'),
    given('if-modified-since'),
    given('if-match'),
    given('if-none-match'),
    given('if-unmodified-since'),
    given('range'),
    ...Object.keys(headers)
      .filter((each) => each.startsWith('x-ms-'))
      .sort()
      .map((each) => `${each}:${headers[each]}`),
    `/${account}${pathname}${parameters.join('')}`,
  ].join('\n');
  const expected = createHmac('sha256', Buffer.from(key, 'base64')).update(text).digest('base64');
  return expected === signature ? undefined : refuse(403, 'AuthenticationFailed');
}

/** What is stored, and what each call does with it. */
class AzStore {
  readonly buckets: Map<string, Map<string, StoredObject>>;
  /** Blocks that are not committed, by bucket and key, then by their ids. */
  readonly blocks = new Map<string, Map<string, Buffer>>();
  #version = 0x8dc_0000_0000;

  constructor(buckets: readonly string[]) {
    this.buckets = new Map(buckets.map((bucket) => [bucket, new Map()]));
  }

  /** @returns its ETag */
  put(bucket: string, key: string, bytes: Buffer, headers: Readonly<Record<string, string>>): string {
    this.#version += 1;
    const etag = `"0x${this.#version.toString(16).toUpperCase()}"`;
    this.buckets.get(bucket)!.set(key, { bytes, etag, headers });
    this.blocks.delete(`${bucket}/${key}`);
    return etag;
  }

  handle(call: ObjectCall): ObjectReply {
    const { method, bucket, key, query, headers, body } = call;
    const objects = this.buckets.get(bucket);
    if (objects === undefined) return refuse(404, 'ContainerNotFound');
    if (key === '') return this.#list(bucket, query, objects);
    const there = objects.get(key);
    if (method === 'PUT') {
      if (query.get('comp') === 'block') return this.#putBlock(call);
      const conflict = conditionFailure(headers, there);
      if (conflict) return conflict;
      if (query.get('comp') === 'blocklist') return this.#commit(call, there);
      if (headers['x-ms-blob-type'] !== 'BlockBlob') return refuse(400, 'MissingRequiredHeader');
      return { status: 201, headers: { etag: this.put(bucket, key, body, headers) } };
    }
    if (there === undefined) return refuse(404, 'BlobNotFound');
    if (headers['if-match'] !== undefined && headers['if-match'] !== there.etag) return refuse(412, 'ConditionNotMet');
    if (method === 'DELETE') {
      objects.delete(key);
      return { status: 202 };
    }
    const stored = Object.entries(there.headers).filter(([name]) => /^x-ms-meta-|^content-type$/u.test(name));
    const own = { ...Object.fromEntries(stored), etag: there.etag, 'x-ms-blob-type': 'BlockBlob' };
    return readReply(headers['range'], there.bytes, own, (given) => refuse(416, 'InvalidRange', given));
  }

  #putBlock({ bucket, key, query, body }: ObjectCall): ObjectReply {
    const id = query.get('blockid') ?? '';
    const name = `${bucket}/${key}`;
    const blocks = this.blocks.get(name) ?? new Map<string, Buffer>();
    const [other = id] = blocks.keys();
    if (other.length !== id.length) return refuse(400, 'InvalidBlobOrBlock');
    this.blocks.set(name, blocks.set(id, body));
    return { status: 201 };
  }

  #commit({ bucket, key, headers, body }: ObjectCall, there: StoredObject | undefined): ObjectReply {
    const ids = Array.from(body.toString().matchAll(/<Latest>(.*?)<\/Latest>/gu), ([, id]) => id!);
    const uncommitted = this.blocks.get(`${bucket}/${key}`);
    const blocks = ids.map((id) => uncommitted?.get(id));
    // The blocks that it has been committed with may be named again.
    const isRepeated = there !== undefined && there.headers['blocks'] === ids.join();
    if (!isRepeated && blocks.includes(undefined)) return refuse(400, 'InvalidBlockList');
    const bytes = isRepeated ? there.bytes : Buffer.concat(blocks as Buffer[]);
    const etag = this.put(bucket, key, bytes, { ...headers, blocks: ids.join() });
    return { status: 201, headers: { etag } };
  }

  #list(bucket: string, query: URLSearchParams, objects: Map<string, StoredObject>): ObjectReply {
    const begun = query.get('include') === 'uncommittedblobs' ? [...this.blocks.keys()] : [];
    const uncommitted = begun
      .filter((name) => name.startsWith(`${bucket}/`))
      .map((name) => name.slice(bucket.length + 1));
    const names = new Set([...objects.keys(), ...uncommitted]);
    const keys = keysInOrder(names, query.get('prefix') ?? '', query.get('marker') ?? '');
    const page = keys.slice(0, Number(query.get('maxresults') ?? 1000));
    const blobs = page.map((key) => {
      const object = objects.get(key);
      const etag = object ? element('Etag', object.etag.slice(1, -1)) : '';
      const properties = `<Properties>${etag}${element('Content-Length', object?.bytes.length ?? 0)}</Properties>`;
      return `<Blob>${element('Name', key)}${properties}</Blob>`;
    });
    const next = page.length < keys.length ? element('NextMarker', page.at(-1)!) : '<NextMarker />';
    return document('EnumerationResults', `<Blobs>${blobs.join('')}</Blobs>${next}`);
  }
}

/** As Azure decides: 409 where a blob is and none may be, 412 for another version and for none. */
function conditionFailure(headers: ObjectCall['headers'], there: StoredObject | undefined): ObjectReply | undefined {
  if (headers['if-none-match'] === '*' && there) return refuse(409, 'BlobAlreadyExists');
  const match = headers['if-match'];
  return match === undefined || there?.etag === match ? undefined : refuse(412, 'ConditionNotMet');
}
