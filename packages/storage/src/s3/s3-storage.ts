/** Files in a bucket of S3, or of a store with the same protocol: MinIO, R2, Ceph and others. */
import { randomUUID } from 'node:crypto';
import { SentvecError, throwIfAborted } from '@sentvec/platform';
import type { Environment } from '@sentvec/platform/node';
import { invalidKeyError, locationOf } from '../errors.ts';
import { discard, readRange } from '../http.ts';
import type { FileVersion, ListedFile, ReadOptions, Storage, StorageContent, WriteOptions } from '../storage.ts';
import { S3Client, type S3Answer } from './s3-client.ts';
import { elements, escapeXml, textOfElement } from './xml.ts';

/** Options of {@link s3Storage}. */
export interface S3StorageOptions {
  /**
   * Where credentials, region and endpoint are looked for: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_REGION`,
   * `AWS_ENDPOINT_URL` and the other variables of AWS's tools.
   * @default the environment of this process
   */
  readonly environment?: Environment | undefined;
  /**
   * Failures of a request in a row after which it is given up. The waits between them grow to 20 seconds.
   * @default 10
   */
  readonly attempts?: number | undefined;
  /**
   * Size of the parts in which streams are written. S3 takes 10,000 parts of at least 5 MiB.
   * @default 32 MiB
   */
  readonly partBytes?: number | undefined;
}

/** The header with the random number of a write, by which the write recognizes its own object. */
const writeHeader = 'x-amz-meta-sentvec-write';
const mostParts = 10_000;

/**
 * The objects of a bucket whose keys begin with a prefix.
 *
 * Conditional writes are those of S3 (`If-None-Match`, `If-Match`). An answer that was lost is looked up before the
 * write is sent again.
 *
 * @param prefix keys are taken below it; with or without a slash at its end
 */
export function s3Storage(bucket: string, prefix = '', options: S3StorageOptions = {}): Storage {
  return new S3Storage(bucket, prefix.replace(/\/$/u, ''), options);
}

class S3Storage implements Storage {
  readonly specificationVersion = 1;
  readonly uri: string;
  readonly #client: S3Client;
  readonly #prefix: string;
  readonly #attempts: number;
  readonly #partBytes: number;
  #bucketIsThere = false;

  constructor(
    bucket: string,
    prefix: string,
    { environment = process.env, attempts = 10, partBytes = 32 << 20 }: S3StorageOptions,
  ) {
    this.uri = locationOf(`s3://${bucket}`, prefix);
    this.#client = new S3Client({ bucket, environment, attempts });
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.#attempts = attempts;
    this.#partBytes = partBytes;
  }

  async stat(
    key: string,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<FileVersion | undefined> {
    const answer = await this.#client.send({ method: 'HEAD', key: this.#keyOf(key), signal, accept: [404] });
    await discard(answer);
    if (answer.status !== 404) return versionOf(answer);
    await this.#findBucket(signal);
    return undefined;
  }

  async read(key: string, options?: ReadOptions): Promise<Uint8Array> {
    const blocks: Uint8Array[] = [];
    for await (const block of this.stream(key, options)) blocks.push(block);
    return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks);
  }

  async *stream(key: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { signal } = options;
    const object = this.#keyOf(key);
    const get = (headers: Readonly<Record<string, string>>): Promise<S3Answer> =>
      this.#client.send({ method: 'GET', key: object, headers, signal, accept: [412, 416] });
    yield* readRange(get, versionOf, { ...options, file: locationOf(this.uri, key), attempts: this.#attempts });
  }

  async write(key: string, content: StorageContent, options: WriteOptions = {}): Promise<FileVersion | undefined> {
    throwIfAborted(options.signal);
    if (typeof content === 'string') return this.#put(key, Buffer.from(content), options);
    if (content instanceof Uint8Array) return this.#put(key, content, options);
    const parts = partsOf(content, this.#partBytes);
    try {
      const first = await parts.next();
      if (first.done === true) return await this.#put(key, new Uint8Array(), options);
      const second = await parts.next();
      if (second.done === true) return await this.#put(key, first.value, options);
      return await this.#putParts(key, prepend([first.value, second.value], parts), options);
    } finally {
      // Closes the source when the write failed before all of it was read.
      await parts.return(undefined).catch(() => {});
    }
  }

  async *list(
    prefix: string,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<ListedFile> {
    let token: string | undefined;
    do {
      const query = {
        'list-type': '2',
        'encoding-type': 'url',
        prefix: this.#prefix + prefix,
        ...(token !== undefined && { 'continuation-token': token }),
      };
      const { text: page } = await this.#client.send({ method: 'GET', key: '', query, signal, readsText: true });
      for (const entry of elements(page, 'Contents')) {
        const key = keyOf(entry, page);
        // Consoles write an empty object for a folder.
        if (!key.startsWith(this.#prefix) || key.endsWith('/')) continue;
        const bytes = Number(textOfElement(entry, 'Size'));
        yield { key: key.slice(this.#prefix.length), bytes, version: textOfElement(entry, 'ETag') ?? '' };
      }
      token = textOfElement(page, 'IsTruncated') === 'true' ? textOfElement(page, 'NextContinuationToken') : undefined;
    } while (token !== undefined);
  }

  async remove(key: string, { signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    await discard(await this.#client.send({ method: 'DELETE', key: this.#keyOf(key), signal, accept: [404] }));
  }

  async removeUnfinished(
    prefix: string,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    for (;;) {
      const query = { uploads: '', 'encoding-type': 'url', prefix: this.#prefix + prefix };
      const { text: page } = await this.#client.send({ method: 'GET', key: '', query, signal, readsText: true });
      const uploads = elements(page, 'Upload');
      for (const upload of uploads) {
        const key = keyOf(upload, page);
        await this.#abort(key, textOfElement(upload, 'UploadId') ?? '', signal);
      }
      if (uploads.length === 0 || textOfElement(page, 'IsTruncated') !== 'true') return;
    }
  }

  #keyOf(key: string): string {
    const whole = this.#prefix + key;
    const file = locationOf(this.uri, key);
    if (key === '' || whole.split('/').some((name) => name === '.' || name === '..'))
      throw invalidKeyError(file, 'it is empty, or has a name "." or "..", which no URL can have');
    if (Buffer.byteLength(whole) > 1024) throw invalidKeyError(file, 'it is longer than 1,024 bytes');
    return whole;
  }

  /** An object that is missing in a bucket that is missing is an error of another kind. */
  async #findBucket(signal: AbortSignal | undefined): Promise<void> {
    if (this.#bucketIsThere) return;
    const query = { 'list-type': '2', 'max-keys': '0' };
    const answer = await this.#client.send({ method: 'GET', key: '', query, signal, accept: [403] });
    await discard(answer);
    this.#bucketIsThere = true;
  }

  async #put(key: string, body: Uint8Array, { replaces, signal }: WriteOptions): Promise<FileVersion | undefined> {
    const token = randomUUID();
    const answer = await this.#client.send({
      method: 'PUT',
      key: this.#keyOf(key),
      headers: { [writeHeader]: token, ...conditionOf(replaces) },
      body,
      signal,
      accept: replaces === undefined ? [] : [404, 412],
    });
    await discard(answer);
    if (answer.status < 300) return { bytes: body.byteLength, version: answer.headers.get('etag') ?? '' };
    if (answer.status === 404) await this.#findBucket(signal);
    return answer.uncertain ? this.#findOwn(key, token, signal) : undefined;
  }

  /** What an earlier attempt has written whose answer was lost, if it is still there. */
  async #findOwn(key: string, token: string, signal: AbortSignal | undefined): Promise<FileVersion | undefined> {
    const answer = await this.#client.send({ method: 'HEAD', key: this.#keyOf(key), signal, accept: [404] });
    await discard(answer);
    return answer.status !== 404 && answer.headers.get(writeHeader) === token ? versionOf(answer) : undefined;
  }

  /** Writes an object in parts, one on its way while the next is collected. */
  async #putParts(
    key: string,
    parts: AsyncIterable<Uint8Array>,
    options: WriteOptions,
  ): Promise<FileVersion | undefined> {
    const { signal } = options;
    const token = randomUUID();
    const object = this.#keyOf(key);
    const headers = { [writeHeader]: token };
    const begin = { method: 'POST', key: object, query: { uploads: '' }, headers, signal, readsText: true } as const;
    const uploadId = textOfElement((await this.#client.send(begin)).text, 'UploadId') ?? '';
    try {
      const { tags, bytes } = await this.#sendParts(object, uploadId, parts, signal);
      return await this.#complete(key, { uploadId, tags, bytes, token }, options);
    } catch (error) {
      await this.#abort(object, uploadId).catch(() => {}); // The earlier error is the one that is thrown.
      throw error;
    }
  }

  async #sendParts(
    object: string,
    uploadId: string,
    parts: AsyncIterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly tags: readonly string[]; readonly bytes: number }> {
    const tags: string[] = [];
    let bytes = 0;
    let sending: Promise<void> = Promise.resolve();
    const send = async (body: Uint8Array, number: number): Promise<void> => {
      const query = { partNumber: String(number), uploadId };
      const answer = await this.#client.send({ method: 'PUT', key: object, query, body, signal });
      await discard(answer);
      tags.push(answer.headers.get('etag') ?? '');
    };
    let number = 0;
    for await (const part of parts) {
      await sending;
      number += 1;
      bytes += part.byteLength;
      if (number > mostParts) throw this.#tooLargeError(object);
      sending = send(part, number);
      sending.catch(() => {}); // It is awaited before the next one.
    }
    await sending;
    return { tags, bytes };
  }

  async #complete(
    key: string,
    upload: {
      readonly uploadId: string;
      readonly tags: readonly string[];
      readonly bytes: number;
      readonly token: string;
    },
    { replaces, signal }: WriteOptions,
  ): Promise<FileVersion | undefined> {
    const { uploadId, tags, bytes, token } = upload;
    const object = this.#keyOf(key);
    const list = tags.map(
      (tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escapeXml(tag)}</ETag></Part>`,
    );
    const answer = await this.#client.send({
      method: 'POST',
      key: object,
      query: { uploadId },
      headers: conditionOf(replaces),
      body: Buffer.from(`<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`),
      signal,
      accept: [404, 412],
      readsText: true,
    });
    const { text } = answer;
    // It may answer 200 before it knows whether it succeeds.
    const failed = answer.status >= 300 || textOfElement(text, 'Error') !== undefined;
    if (!failed) return { bytes, version: textOfElement(text, 'ETag') ?? '' };
    const own = await this.#findOwn(key, token, signal);
    if (own) return own;
    await this.#abort(object, uploadId, signal);
    if (answer.status === 412 || (answer.status === 404 && replaces)) return undefined;
    const file = locationOf(this.uri, key);
    const reason = textOfElement(text, 'Code') ?? String(answer.status);
    throw new SentvecError(
      'io-failed',
      `${file} was not written: the store failed to join its parts (${reason}). Try again.`,
      {
        file,
      },
    );
  }

  async #abort(object: string, uploadId: string, signal?: AbortSignal): Promise<void> {
    await discard(
      await this.#client.send({ method: 'DELETE', key: object, query: { uploadId }, signal, accept: [404] }),
    );
  }

  #tooLargeError(object: string): SentvecError {
    const most = Math.floor((mostParts * this.#partBytes) / 2 ** 30);
    return new SentvecError('io-failed', `${object} is too large: an object in parts has at most ${most} GiB.`, {
      file: object,
    });
  }
}

function versionOf({ headers }: Pick<S3Answer, 'headers'>): FileVersion {
  const total = /\/(\d+)$/u.exec(headers.get('content-range') ?? '')?.[1] ?? headers.get('content-length');
  return { bytes: Number(total), version: headers.get('etag') ?? '' };
}

function conditionOf(replaces: string | null | undefined): Readonly<Record<string, string>> {
  if (replaces === undefined) return {};
  return replaces === null ? { 'if-none-match': '*' } : { 'if-match': replaces };
}

/** The key of an entry of a list. A server that does not know `encoding-type` gives keys as they are. */
function keyOf(entry: string, page: string): string {
  const key = textOfElement(entry, 'Key') ?? '';
  return textOfElement(page, 'EncodingType') === 'url' ? decodeURIComponent(key.replaceAll('+', ' ')) : key;
}

/** Blocks joined and split into parts of one size; the last may be smaller. */
async function* partsOf(blocks: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let part = Buffer.allocUnsafeSlow(size);
  let filled = 0;
  for await (const block of blocks) {
    for (let from = 0; from < block.byteLength;) {
      const taken = block.subarray(from, from + size - filled);
      part.set(taken, filled);
      filled += taken.byteLength;
      from += taken.byteLength;
      if (filled < size) continue;
      yield part;
      part = Buffer.allocUnsafeSlow(size);
      filled = 0;
    }
  }
  if (filled > 0) yield part.subarray(0, filled);
}

async function* prepend<T>(first: readonly T[], rest: AsyncIterable<T>): AsyncGenerator<T> {
  yield* first;
  yield* rest;
}
