/**
 * A small Google Cloud Storage for tests: its XML API with objects in memory, generations, conditional writes, resumable
 * uploads, ranges, lists, signatures and tokens, and faults on demand.
 */
import { createHmac, randomBytes } from 'node:crypto';
import {
  document,
  element,
  failure,
  keysInOrder,
  listen,
  locateInPath,
  maxClockSkew,
  readReply,
  sha256,
  type ObjectCall,
  type ObjectReply,
  type ObjectServer,
  type ObjectServerOptions,
  type StoredObject,
} from './object-server.ts';

/** Options of {@link startGs}. */
export interface GsServerOptions extends ObjectServerOptions {
  /** HMAC keys by which requests are signed, by their ids. @default { GOOGTEST: 'secret' } */
  readonly keys?: Readonly<Record<string, string>> | undefined;
  /** Tokens that may do everything. @default none */
  readonly tokens?: readonly string[] | undefined;
}

/** A server that is running. */
export interface GsServer extends ObjectServer {
  /** Changes {@link GsServerOptions.tokens}. */
  setTokens(tokens: readonly string[]): void;
}

interface Upload {
  readonly bucket: string;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  bytes: Buffer;
  /** What was written when it was finished. */
  generation?: string;
}

/** All blocks of a resumable upload but the last have a multiple of this size. */
const blockBytes = 256 << 10;

/** Starts a server at a free port of this machine. */
export async function startGs(options: GsServerOptions = {}): Promise<GsServer> {
  const { keys = { GOOGTEST: 'secret' } } = options;
  let { tokens = [] } = options;
  const store = new GsStore(options.buckets ?? ['bucket']);
  const server = await listen(options, {
    locate: locateInPath,
    refuse: (call, now) => (call.query.has('upload_id') ? undefined : refusal(call, keys, tokens, now)),
    handle: (call) => store.handle(call),
  });
  store.endpoint = server.endpoint;
  const [id, secret] = Object.entries(keys)[0] ?? [];
  return {
    ...server,
    environment: {
      STORAGE_EMULATOR_HOST: server.endpoint,
      ...(id !== undefined && { GS_ACCESS_KEY_ID: id, GS_SECRET_ACCESS_KEY: secret! }),
    },
    objects: (bucket = 'bucket') => store.buckets.get(bucket)!,
    put: (key, content, bucket = 'bucket') => void store.put(bucket, key, Buffer.from(content), {}),
    setTokens: (next) => (tokens = next),
    uploads: () =>
      [...store.uploads].filter(([, { generation }]) => generation === undefined).map(([upload]) => upload),
  };
}

/** Why a call is not carried out: its token, its signature, its time, its hash. */
function refusal(
  { method, headers, body, url }: ObjectCall,
  keys: Readonly<Record<string, string>>,
  tokens: readonly string[],
  now: number,
): ObjectReply | undefined {
  const authorization = headers['authorization'] ?? '';
  if (authorization.startsWith('Bearer '))
    return tokens.includes(authorization.slice(7)) ? undefined : failure(401, 'AuthenticationRequired');
  const pattern =
    /^GOOG4-HMAC-SHA256 Credential=([^/]+)\/(\d+)\/([^/]+)\/storage\/goog4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)$/u;
  const [, id, day, region, names, signature] = pattern.exec(authorization) ?? [];
  const secret = keys[id ?? ''];
  if (secret === undefined) return failure(403, 'AccessDenied');
  const date = headers['x-goog-date'] ?? '';
  const time = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/u, '$1-$2-$3T$4:$5:$6Z'));
  if (Math.abs(time - now) > maxClockSkew) return failure(403, 'RequestTimeTooSkewed');
  const signedNames = names!.split(';');
  const unsigned = Object.keys(headers).some((name) => name.startsWith('x-goog-') && !signedNames.includes(name));
  if (unsigned || !signedNames.includes('host')) return failure(403, 'AccessDenied');
  const [path = '', search = ''] = url.split('?');
  const hash = headers['x-goog-content-sha256']!;
  const query = search
    .split('&')
    .filter((part) => part !== '')
    .map((part) => (part.includes('=') ? part : `${part}=`));
  const lines = signedNames.map((name) => `${name}:${headers[name]?.trim()}`);
  const canonical = [method, path, query.sort().join('&'), ...lines, '', names, hash].join('\n');
  const text = ['GOOG4-HMAC-SHA256', date, `${day}/${region}/storage/goog4_request`, sha256(canonical, 'hex')];
  let key = Buffer.from(`GOOG4${secret}`);
  for (const part of [day!, region!, 'storage', 'goog4_request']) key = createHmac('sha256', key).update(part).digest();
  if (createHmac('sha256', key).update(text.join('\n')).digest('hex') !== signature)
    return failure(403, 'SignatureDoesNotMatch');
  return sha256(body, 'hex') === hash ? undefined : failure(400, 'XGoogContentSHA256Mismatch');
}

/** What is stored, and what each call does with it. */
class GsStore {
  endpoint = '';
  readonly buckets: Map<string, Map<string, StoredObject>>;
  readonly uploads = new Map<string, Upload>();
  #generation = 1_700_000_000_000_000;

  constructor(buckets: readonly string[]) {
    this.buckets = new Map(buckets.map((bucket) => [bucket, new Map()]));
  }

  /** @returns its generation */
  put(bucket: string, key: string, bytes: Buffer, headers: Readonly<Record<string, string>>): string {
    this.#generation += 1;
    const etag = String(this.#generation);
    this.buckets.get(bucket)!.set(key, { bytes, etag, headers });
    return etag;
  }

  handle(call: ObjectCall): ObjectReply {
    const { method, bucket, key, query, headers, body } = call;
    const objects = this.buckets.get(bucket);
    if (objects === undefined) return failure(404, 'NoSuchBucket');
    if (key === '') return list(query, objects);
    const session = query.get('upload_id');
    if (session !== null) return this.#continue(session, call, objects);
    const there = objects.get(key);
    const isWrite = method === 'PUT' || method === 'POST';
    if (isWrite && !isMet(headers, there)) return failure(412, 'PreconditionFailed');
    if (method === 'PUT')
      return { status: 200, headers: { 'x-goog-generation': this.put(bucket, key, body, headers) } };
    if (method === 'POST' && headers['x-goog-resumable'] === 'start') {
      const id = randomBytes(16).toString('hex');
      this.uploads.set(id, { bucket, key, headers, bytes: Buffer.alloc(0) });
      const path = encodeURI(`/${bucket}/${key}`).replaceAll('?', '%3F').replaceAll('#', '%23');
      return { status: 201, headers: { location: `${this.endpoint}${path}?upload_id=${id}` } };
    }
    if (there === undefined) return failure(404, 'NoSuchKey');
    if (method === 'DELETE') return objects.delete(key) ? { status: 204 } : failure(404, 'NoSuchKey');
    return read(headers, there);
  }

  /** A block of a resumable upload, or the question how far it is: then the range has no first byte. */
  #continue(id: string, { method, headers, body }: ObjectCall, objects: Map<string, StoredObject>): ObjectReply {
    const upload = this.uploads.get(id);
    if (upload === undefined) return failure(404, 'NoSuchUpload');
    if (method === 'DELETE') return this.uploads.delete(id) ? { status: 499 } : failure(404, 'NoSuchUpload');
    if (upload.generation !== undefined) return { status: 200, headers: { 'x-goog-generation': upload.generation } };
    const pattern = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/u;
    const [, first, last, total] = pattern.exec(headers['content-range'] ?? '') ?? [];
    if (first !== undefined) {
      if (Number(last) - Number(first) + 1 !== body.length || Number(first) !== upload.bytes.length)
        return failure(400, 'InvalidArgument');
      const isLast = total !== '*';
      const kept = isLast ? body : body.subarray(0, body.length - (body.length % blockBytes));
      upload.bytes = Buffer.concat([upload.bytes, kept]);
    }
    if (Number(total) === upload.bytes.length) {
      if (!isMet(upload.headers, objects.get(upload.key))) {
        this.uploads.delete(id);
        return failure(412, 'PreconditionFailed');
      }
      upload.generation = this.put(upload.bucket, upload.key, upload.bytes, upload.headers);
      return { status: 200, headers: { 'x-goog-generation': upload.generation } };
    }
    const end = upload.bytes.length;
    return { status: 308, headers: end === 0 ? {} : { range: `bytes=0-${end - 1}` } };
  }
}

/** Whether the generation is the one that a request asks for; 0: there is no object. */
function isMet(headers: ObjectCall['headers'], there: StoredObject | undefined): boolean {
  const wanted = headers['x-goog-if-generation-match'];
  return wanted === undefined || wanted === (there?.etag ?? '0');
}

function read({ range }: ObjectCall['headers'], { bytes, etag, headers }: StoredObject): ObjectReply {
  const stored = Object.entries(headers).filter(
    ([name]) => name.startsWith('x-goog-meta-') || name === 'content-type' || name === 'content-encoding',
  );
  const own = {
    ...Object.fromEntries(stored),
    etag: `"${etag}-etag"`,
    'x-goog-generation': etag,
    'x-goog-stored-content-length': String(bytes.length),
  };
  return readReply(range, bytes, own, (given) => failure(416, 'InvalidRange', given));
}

function list(query: URLSearchParams, objects: Map<string, StoredObject>): ObjectReply {
  const keys = keysInOrder(objects.keys(), query.get('prefix') ?? '', query.get('continuation-token') ?? '');
  const page = keys.slice(0, Number(query.get('max-keys') ?? 1000));
  const isUrl = query.get('encoding-type') === 'url';
  const contents = page.map((key) => {
    const { bytes, etag } = objects.get(key)!;
    const name = element('Key', isUrl ? encodeURIComponent(key).replaceAll('%2F', '/') : key);
    return `<Contents>${name}${element('Generation', etag)}${element('ETag', `"${etag}-etag"`)}${element('Size', bytes.length)}</Contents>`;
  });
  const isTruncated = page.length < keys.length;
  const head = [
    element('IsTruncated', isTruncated),
    isUrl ? element('EncodingType', 'url') : '',
    isTruncated ? element('NextContinuationToken', page.at(-1)!) : '',
  ];
  return document('ListBucketResult', [...head, ...contents].join(''));
}
