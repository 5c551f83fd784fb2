/** The base class of all object stores: atomic and conditional writes, multipart uploads, ranges, and paged lists. */
import { randomUUID } from 'node:crypto';
import { checkCount, throwIfAborted, type OptionNames } from '@sentvec/platform';
import type { Environment } from '@sentvec/platform/node';
import { invalidKeyError, locationOf } from '../errors.ts';
import { discard, readRange } from '../http.ts';
import type {
  FileVersion,
  ListedFile,
  ReadOptions,
  Storage,
  StorageContent,
  StorageOptions,
  WriteOptions,
} from '../storage.ts';
import type { ObjectAnswer, ObjectRequest } from './object-requests.ts';

/** Options of all object stores. */
export interface ObjectStorageOptions {
  /**
   * Environment variables with credentials and endpoints: those of the official tools of the store.
   * @default the environment of this process
   */
  readonly environment?: Environment | undefined;
  /**
   * Maximum number of consecutive failures of a request. Delays between attempts grow up to 20 seconds.
   * @default 10
   */
  readonly attempts?: number | undefined;
  /**
   * Size in bytes of the parts of multipart uploads.
   * @default 32 MiB
   */
  readonly partBytes?: number | undefined;
}

export const objectOptionNames: OptionNames<ObjectStorageOptions> = {
  environment: true,
  attempts: true,
  partBytes: true,
};

/** A page of a list with complete keys. */
export interface ObjectPage {
  readonly files: readonly ListedFile[];
  /** The token for the next page. */
  readonly next?: string | undefined;
}

/** A multipart write. */
export interface PartsWrite extends WriteOptions {
  readonly object: string;
  /** The file, for error messages. */
  readonly file: string;
  /** The random token of the write, for {@link ObjectStorage.writeHeader}. */
  readonly token: string;
}

/** A storage of the objects below a prefix in a bucket. Subclasses implement the requests of each kind of store. */
export abstract class ObjectStorage implements Storage {
  readonly specificationVersion = 1;
  readonly uri: string;
  readonly #prefix: string;
  protected readonly attempts: number;
  protected readonly partBytes: number;
  #bucketIsThere = false;

  constructor(root: string, prefix: string, { attempts = 10, partBytes = 32 << 20 }: ObjectStorageOptions) {
    const folder = prefix.replace(/\/$/u, '');
    this.uri = locationOf(root, folder);
    this.#prefix = folder === '' ? '' : `${folder}/`;
    checkCount(attempts, 'attempts');
    checkCount(partBytes, 'partBytes');
    this.attempts = attempts;
    this.partBytes = partBytes;
  }

  /** The metadata header with the random token of a write, which identifies the object that this write has created. */
  protected abstract readonly writeHeader: string;
  /** Further headers of a write. */
  protected readonly writeHeaders: Readonly<Record<string, string>> = {};
  protected abstract send(request: ObjectRequest): Promise<ObjectAnswer>;
  protected abstract versionOf(answer: Pick<ObjectAnswer, 'headers'>): FileVersion;
  /** The headers of a condition; `undefined` if no object can meet it. */
  protected abstract conditionOf(replaces: string | null | undefined): Readonly<Record<string, string>> | undefined;
  /** Whether a response means that the condition of a write was not met. */
  protected abstract isUnmet(status: number, headers: Headers): boolean;
  protected abstract listPage(
    prefix: string,
    next: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ObjectPage>;
  /** Writes an object by a multipart upload. */
  protected abstract putParts(
    parts: AsyncIterable<Uint8Array>,
    condition: Readonly<Record<string, string>>,
    write: PartsWrite,
  ): Promise<FileVersion | undefined>;
  /** Removes unfinished writes below a complete prefix. */
  protected abstract removeUploads(prefix: string, signal: AbortSignal | undefined): Promise<void>;
  /** Checks that the bucket exists. @throws SentvecError `io-failed` when it does not */
  protected abstract askForBucket(signal: AbortSignal | undefined): Promise<void>;

  async stat(key: string, { signal }: StorageOptions = {}): Promise<FileVersion | undefined> {
    const answer = await this.#head(this.#keyOf(key), signal);
    if (answer.status !== 404) return this.versionOf(answer);
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
    const accept: ObjectRequest['accept'] = (status) => status === 412 || status === 416;
    const get = (headers: Readonly<Record<string, string>>): Promise<ObjectAnswer> =>
      this.send({ method: 'GET', key: object, headers, signal, accept });
    const versionOf = (answer: Pick<ObjectAnswer, 'headers'>): FileVersion => this.versionOf(answer);
    yield* readRange(get, versionOf, { ...options, file: locationOf(this.uri, key), attempts: this.attempts });
  }

  async write(key: string, content: StorageContent, options: WriteOptions = {}): Promise<FileVersion | undefined> {
    throwIfAborted(options.signal);
    if (typeof content === 'string') return this.#put(key, Buffer.from(content), options);
    if (content instanceof Uint8Array) return this.#put(key, content, options);
    const parts = partsOf(content, this.partBytes);
    try {
      const first = await parts.next();
      if (first.done === true) return await this.#put(key, new Uint8Array(), options);
      const second = await parts.next();
      if (second.done === true) return await this.#put(key, first.value, options);
      const condition = this.conditionOf(options.replaces);
      if (condition === undefined) return undefined;
      const [object, file] = [this.#keyOf(key), locationOf(this.uri, key)];
      const write = { ...options, object, file, token: randomUUID() };
      return await this.putParts(prepend([first.value, second.value], parts), condition, write);
    } finally {
      // Close the source if the write has failed before all of it was read.
      await parts.return(undefined).catch(() => {});
    }
  }

  async *list(prefix: string, { signal }: StorageOptions = {}): AsyncGenerator<ListedFile> {
    let next: string | undefined;
    do {
      const page = await this.listPage(this.#prefix + prefix, next, signal);
      for (const { key, ...version } of page.files) {
        // Skip empty objects that web consoles create for folders.
        if (!key.startsWith(this.#prefix) || key.endsWith('/')) continue;
        yield { key: key.slice(this.#prefix.length), ...version };
      }
      ({ next } = page);
    } while (next !== undefined);
  }

  async remove(key: string, { signal }: StorageOptions = {}): Promise<void> {
    const accept: ObjectRequest['accept'] = (status) => status === 404;
    await discard(await this.send({ method: 'DELETE', key: this.#keyOf(key), signal, accept }));
  }

  async removeUnfinished(prefix: string, { signal }: StorageOptions = {}): Promise<void> {
    await this.removeUploads(this.#prefix + prefix, signal);
  }

  #keyOf(key: string): string {
    const whole = this.#prefix + key;
    const file = locationOf(this.uri, key);
    if (key === '' || whole.split('/').some((name) => name === '.' || name === '..'))
      throw invalidKeyError(file, 'it is empty or contains "." or "..", which URLs cannot have');
    if (Buffer.byteLength(whole) > 1024) throw invalidKeyError(file, 'it is longer than 1,024 bytes');
    return whole;
  }

  async #head(object: string, signal: AbortSignal | undefined): Promise<ObjectAnswer> {
    const answer = await this.send({ method: 'HEAD', key: object, signal, accept: (status) => status === 404 });
    await discard(answer);
    return answer;
  }

  /** After a missing object: checks that the bucket exists, because a missing bucket is another error. */
  async #findBucket(signal: AbortSignal | undefined): Promise<void> {
    if (this.#bucketIsThere) return;
    await this.askForBucket(signal);
    this.#bucketIsThere = true;
  }

  async #put(key: string, body: Uint8Array, { replaces, signal }: WriteOptions): Promise<FileVersion | undefined> {
    const token = randomUUID();
    const object = this.#keyOf(key);
    const condition = this.conditionOf(replaces);
    if (condition === undefined) return undefined;
    const headers = { ...this.writeHeaders, [this.writeHeader]: token, ...condition };
    const accept: ObjectRequest['accept'] = (status, given) => replaces !== undefined && this.isUnmet(status, given);
    const answer = await this.send({ method: 'PUT', key: object, headers, body, signal, accept });
    await discard(answer);
    if (answer.status < 300) return { bytes: body.byteLength, version: this.versionOf(answer).version };
    if (answer.status === 404) await this.#findBucket(signal);
    return answer.uncertain ? this.findOwn(object, token, signal) : undefined;
  }

  /** Finds the object of an earlier attempt whose response was lost, if it still exists. */
  protected async findOwn(
    object: string,
    token: string,
    signal: AbortSignal | undefined,
  ): Promise<FileVersion | undefined> {
    const answer = await this.#head(object, signal);
    const isOwn = answer.status !== 404 && answer.headers.get(this.writeHeader) === token;
    return isOwn ? this.versionOf(answer) : undefined;
  }
}

/** Sends parts; while one is being sent, the next one is collected. @returns their total size */
export async function sendParts(
  parts: AsyncIterable<Uint8Array>,
  send: (part: Uint8Array, index: number) => Promise<void>,
): Promise<number> {
  let sending: Promise<void> = Promise.resolve();
  let bytes = 0;
  let index = 0;
  for await (const part of parts) {
    await sending;
    bytes += part.byteLength;
    sending = send(part, index);
    sending.catch(() => {}); // Errors are handled when it is awaited, before the next part.
    index += 1;
  }
  await sending;
  return bytes;
}

/** Joins blocks and splits them into parts of equal size; the last one may be smaller. */
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
