/**
 * A small S3 server for tests: objects in memory, signatures checked, ranges, listing, multipart uploads, conditional
 * writes as S3 does them, and faults on demand.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
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

/** Options of {@link startS3}. */
export interface S3ServerOptions extends ObjectServerOptions {
  /** Keys by which requests are signed, by their ids. @default { test: 'secret' } */
  readonly keys?: Readonly<Record<string, string>> | undefined;
}

/** A server that is running. */
export interface S3Server extends ObjectServer {
  /** Changes {@link S3ServerOptions.keys}: what is signed by others is refused as expired. */
  setKeys(keys: Readonly<Record<string, string>>): void;
}

/** Starts a server at a free port of this machine. */
export async function startS3(options: S3ServerOptions = {}): Promise<S3Server> {
  const store = new S3Store(options.buckets ?? ['bucket']);
  let { keys = { test: 'secret' } } = options;
  const retired = new Set<string>();
  const server = await listen(options, {
    locate: locateInPath,
    decode: (headers, body) => (headers['x-amz-content-sha256']?.startsWith('STREAMING-') ? withoutChunks(body) : body),
    refuse: (call, now) => refusal(call, keys, retired, now),
    handle: (call) => store.handle(call),
  });
  const [id, secret] = Object.entries(keys)[0]!;
  return {
    ...server,
    environment: {
      AWS_ENDPOINT_URL: server.endpoint,
      AWS_ACCESS_KEY_ID: id,
      AWS_SECRET_ACCESS_KEY: secret,
      AWS_REGION: 'us-east-1',
      AWS_EC2_METADATA_DISABLED: 'true',
    },
    objects: (bucket = 'bucket') => store.bucket(bucket)!,
    put: (key, content, bucket = 'bucket') => void store.put(bucket, key, Buffer.from(content), {}),
    uploads: () => [...store.uploads.keys()],
    setKeys: (next) => {
      for (const name of Object.keys(keys)) retired.add(name);
      keys = next;
    },
  };
}

/** The content of a body in chunks: each has its size in hexadecimal digits in a line before it. */
function withoutChunks(body: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; at < body.length;) {
    const end = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.toString('latin1', at, end), 16);
    if (size === 0) break;
    chunks.push(body.subarray(end + 2, end + 2 + size));
    at = end + 4 + size;
  }
  return Buffer.concat(chunks);
}

/** Why a call is not carried out: its signature, its time, its hash. */
function refusal(
  call: ObjectCall,
  keys: Readonly<Record<string, string>>,
  retired: ReadonlySet<string>,
  now: number,
): ObjectReply | undefined {
  const { headers, body, url } = call;
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+)\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)$/u;
  const [, id, day, region, names, signature] = pattern.exec(headers['authorization'] ?? '') ?? [];
  if (id === undefined) return failure(403, 'AccessDenied');
  const secret = keys[id];
  if (secret === undefined) return retired.has(id) ? failure(400, 'ExpiredToken') : failure(403, 'InvalidAccessKeyId');
  const date = headers['x-amz-date']!;
  const time = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/u, '$1-$2-$3T$4:$5:$6Z'));
  if (Math.abs(time - now) > maxClockSkew) return failure(403, 'RequestTimeTooSkewed');
  const [path = '', search = ''] = url.split(/\?(.*)/su);
  const hash = headers['x-amz-content-sha256']!;
  const canonical = [
    call.method,
    path,
    search
      .split('&')
      .filter((part) => part !== '')
      .map((part) => (part.includes('=') ? part : `${part}=`))
      .sort()
      .join('&'),
    ...names!.split(';').map((name) => `${name}:${headers[name]?.trim().replaceAll(/\s+/gu, ' ')}`),
    '',
    names,
    hash,
  ].join('\n');
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical, 'hex')].join('\n');
  const key = [day!, region!, 's3', 'aws4_request'].reduce<Buffer>(
    (before, part) => createHmac('sha256', before).update(part).digest(),
    Buffer.from(`AWS4${secret}`),
  );
  const expected = createHmac('sha256', key).update(text).digest();
  const given = Buffer.from(signature!, 'hex');
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    return failure(403, 'SignatureDoesNotMatch');
  if (/^[0-9a-f]{64}$/u.test(hash) && sha256(body, 'hex') !== hash) return failure(400, 'XAmzContentSHA256Mismatch');
  const checksum = headers['x-amz-checksum-sha256'];
  return checksum !== undefined && sha256(body, 'base64') !== checksum ? failure(400, 'BadDigest') : undefined;
}

interface Upload {
  readonly bucket: string;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: Map<number, { readonly bytes: Buffer; readonly etag: string }>;
}

/** The smallest part but the last, as in S3. */
const minPartBytes = 5 << 20;

/** What is stored, and what each call does with it. */
class S3Store {
  readonly uploads = new Map<string, Upload>();
  readonly #buckets: Map<string, Map<string, StoredObject>>;

  constructor(buckets: readonly string[]) {
    this.#buckets = new Map(buckets.map((bucket) => [bucket, new Map()]));
  }

  bucket(name: string): Map<string, StoredObject> | undefined {
    return this.#buckets.get(name);
  }

  put(
    bucket: string,
    key: string,
    bytes: Buffer,
    headers: Readonly<Record<string, string>>,
    etag = etagOf(bytes),
  ): string {
    this.#buckets.get(bucket)!.set(key, { bytes, etag, headers });
    return etag;
  }

  handle(call: ObjectCall): ObjectReply {
    const { method, bucket, key, query } = call;
    const objects = this.#buckets.get(bucket);
    if (objects === undefined && method === 'PUT' && key === '') {
      this.#buckets.set(bucket, new Map());
      return { status: 200 };
    }
    if (objects === undefined) return failure(404, 'NoSuchBucket');
    if (key === '') return this.#handleBucket(call, objects);
    if (query.has('uploadId') || query.has('uploads')) return this.#handleUpload(call, objects);
    if (method === 'PUT') return this.#write(call, objects);
    if (method === 'DELETE') {
      objects.delete(key);
      return { status: 204 };
    }
    return readObject(call, objects.get(key));
  }

  #handleBucket(call: ObjectCall, objects: Map<string, StoredObject>): ObjectReply {
    const { method, query, body } = call;
    if (method === 'HEAD' || method === 'PUT') return { status: 200 };
    if (method === 'POST' && query.has('delete')) {
      const keys = Array.from(body.toString().matchAll(/<Key>(.*?)<\/Key>/gu), ([, name]) => name!);
      for (const name of keys) objects.delete(name);
      return document('DeleteResult', keys.map((name) => `<Deleted>${element('Key', name)}</Deleted>`).join(''));
    }
    return query.has('uploads') ? this.#listUploads(call) : listObjects(query, objects);
  }

  #listUploads({ bucket, query }: ObjectCall): ObjectReply {
    const prefix = query.get('prefix') ?? '';
    const found = [...this.uploads].filter(([, each]) => each.bucket === bucket && each.key.startsWith(prefix));
    const list = found.map(
      ([id, { key }]) => `<Upload>${element('Key', keyText(key, query))}${element('UploadId', id)}</Upload>`,
    );
    return document('ListMultipartUploadsResult', [element('IsTruncated', false), encodingOf(query), ...list].join(''));
  }

  #write(call: ObjectCall, objects: Map<string, StoredObject>): ObjectReply {
    const { bucket, key, headers, body } = call;
    const conflict = conditionFailure(headers, objects.get(key));
    if (conflict) return conflict;
    const source = headers['x-amz-copy-source'];
    if (source !== undefined) {
      const [, from = '', name = ''] = /^\/?([^/]+)\/(.*)$/u.exec(decodeURIComponent(source)) ?? [];
      const copied = this.#buckets.get(from)?.get(name);
      if (copied === undefined) return failure(404, 'NoSuchKey');
      return document('CopyObjectResult', element('ETag', this.put(bucket, key, copied.bytes, copied.headers)));
    }
    const etag = this.put(bucket, key, body, headers);
    return { status: 200, headers: { etag, 'x-amz-checksum-sha256': sha256(body, 'base64') } };
  }

  #handleUpload(
    { method, bucket, key, query, headers, body }: ObjectCall,
    objects: Map<string, StoredObject>,
  ): ObjectReply {
    if (method === 'POST' && query.has('uploads')) {
      const id = randomBytes(16).toString('hex');
      this.uploads.set(id, { bucket, key, headers, parts: new Map() });
      return document('InitiateMultipartUploadResult', element('Key', key) + element('UploadId', id));
    }
    const id = query.get('uploadId')!;
    const upload = this.uploads.get(id);
    if (upload === undefined || upload.key !== key) return failure(404, 'NoSuchUpload');
    if (method === 'PUT') {
      const etag = etagOf(body);
      upload.parts.set(Number(query.get('partNumber')), { bytes: body, etag });
      return { status: 200, headers: { etag } };
    }
    if (method === 'DELETE') {
      this.uploads.delete(id);
      return { status: 204 };
    }
    const conflict = conditionFailure(headers, objects.get(key));
    if (conflict) return conflict;
    const listed = Array.from(body.toString().matchAll(/<Part>(.*?)<\/Part>/gsu), ([, part]) => part!);
    const parts = listed.map((part) => {
      const stored = upload.parts.get(Number(/<PartNumber>(\d+)</u.exec(part)?.[1]));
      const etag = /<ETag>(.*?)<\/ETag>/u.exec(part)?.[1]?.replaceAll('&quot;', '"');
      return stored?.etag === etag ? stored : undefined;
    });
    if (parts.length === 0 || parts.includes(undefined)) return failure(400, 'InvalidPart');
    if (parts.slice(0, -1).some((part) => part!.bytes.length < minPartBytes)) return failure(400, 'EntityTooSmall');
    const hashes = Buffer.concat(parts.map((part) => Buffer.from(part!.etag.slice(1, -1), 'hex')));
    const etag = `${etagOf(hashes).slice(0, -1)}-${parts.length}"`;
    this.put(bucket, key, Buffer.concat(parts.map((part) => part!.bytes)), upload.headers, etag);
    this.uploads.delete(id);
    return document('CompleteMultipartUploadResult', element('Key', key) + element('ETag', etag));
  }
}

function etagOf(bytes: Buffer): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}

/** As S3 decides: 412 when another object is there, 404 when there is none that could match. */
function conditionFailure(headers: ObjectCall['headers'], there: StoredObject | undefined): ObjectReply | undefined {
  if (headers['if-none-match'] === '*' && there) return failure(412, 'PreconditionFailed');
  const match = headers['if-match'];
  if (match === undefined) return undefined;
  if (there === undefined) return failure(404, 'NoSuchKey');
  return there.etag === match ? undefined : failure(412, 'PreconditionFailed');
}

function readObject({ headers }: ObjectCall, object: StoredObject | undefined): ObjectReply {
  if (object === undefined) return failure(404, 'NoSuchKey');
  const { bytes, etag } = object;
  const stored = Object.entries(object.headers).filter(
    ([name]) => name.startsWith('x-amz-meta-') || name === 'content-type' || name === 'content-encoding',
  );
  const own = { ...Object.fromEntries(stored), etag, 'accept-ranges': 'bytes' };
  if (headers['if-match'] !== undefined && headers['if-match'] !== etag) return failure(412, 'PreconditionFailed');
  if (headers['if-none-match'] === etag) return { status: 304, headers: { etag } };
  return readReply(headers['range'], bytes, own, (given) => failure(416, 'InvalidRange', given));
}

function listObjects(query: URLSearchParams, objects: Map<string, StoredObject>): ObjectReply {
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
  const limit = Number(query.get('max-keys') ?? 1000);
  const keys = keysInOrder(objects.keys(), prefix, after);
  const folders = new Set<string>();
  const listed: string[] = [];
  for (const key of keys) {
    const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    if (end >= 0) folders.add(key.slice(0, end + delimiter.length));
    else listed.push(key);
  }
  const page = listed.slice(0, limit);
  const isTruncated = page.length < listed.length && limit > 0;
  const contents = page.map((key) => {
    const { bytes, etag } = objects.get(key)!;
    return `<Contents>${element('Key', keyText(key, query))}${element('ETag', etag)}${element('Size', bytes.length)}</Contents>`;
  });
  const prefixes = [...folders].map(
    (each) => `<CommonPrefixes>${element('Prefix', keyText(each, query))}</CommonPrefixes>`,
  );
  const next = isTruncated ? element('NextContinuationToken', page.at(-1)!) : '';
  const head = [element('IsTruncated', isTruncated), encodingOf(query), next];
  return document('ListBucketResult', [...head, ...contents, ...prefixes].join(''));
}

/** Says that the keys of a list are percent-encoded, where that was asked for. */
function encodingOf(query: URLSearchParams): string {
  return query.get('encoding-type') === 'url' ? element('EncodingType', 'url') : '';
}

function keyText(key: string, query: URLSearchParams): string {
  return query.get('encoding-type') === 'url' ? encodeURIComponent(key).replaceAll('%2F', '/') : key;
}
