/** Storage in a bucket of Google Cloud Storage. */
import { checkOptionNames, PassingFailure, retryAfter, SentvecError } from '@sentvec/platform';
import { discard, sendRequest, totalBytesOf, withRetries } from '../http.ts';
import { readPage } from '../objects/object-list.ts';
import { sendObjectRequest, type ObjectAnswer, type ObjectRequest } from '../objects/object-requests.ts';
import {
  ObjectStorage,
  objectOptionNames,
  sendParts,
  type ObjectPage,
  type ObjectStorageOptions,
  type PartsWrite,
} from '../objects/object-storage.ts';
import type { FileVersion, Storage } from '../storage.ts';
import { GsProtocol } from './gs-client.ts';

/**
 * Options of {@link gsStorage}. Environment variables: `GOOGLE_APPLICATION_CREDENTIALS`, `GS_ACCESS_KEY_ID` and
 * `GS_SECRET_ACCESS_KEY` for an HMAC key, `STORAGE_EMULATOR_HOST` and the other variables of Google's tools. Part sizes
 * are multiples of 256 KiB.
 */
export type GsStorageOptions = ObjectStorageOptions;

/** All parts of a resumable upload except the last must be multiples of this. */
const blockBytes = 256 << 10;

/**
 * A storage of the objects below a prefix in a bucket of Google Cloud Storage. Versions are generations; conditional
 * writes use `x-goog-if-generation-match`. Streams are written by resumable uploads, because multipart uploads do not
 * support conditions. Google removes unfinished uploads after a week.
 *
 * @param prefix prefix of all keys, with or without a trailing slash
 */
export function gsStorage(bucket: string, prefix = '', options: GsStorageOptions = {}): Storage {
  checkOptionNames('gsStorage()', options, objectOptionNames);
  return new GsStorage(bucket, prefix, options);
}

/** The state of a resumable upload: the number of received bytes, the written version, or an unmet condition. */
type Progress =
  | { readonly kind: 'going'; readonly bytes: number }
  | { readonly kind: 'done'; readonly version: string | undefined }
  | { readonly kind: 'unmet' };

/** A block of a resumable upload. */
interface Block {
  readonly part: Uint8Array;
  /** Its offset in the object. */
  readonly start: number;
  /** Size of the object. Sent with the last block. */
  readonly total?: number | undefined;
}

class GsStorage extends ObjectStorage {
  protected readonly writeHeader = 'x-goog-meta-sentvec-write';
  /** Otherwise Google caches public objects for an hour, and readers would see an old manifest. */
  protected override readonly writeHeaders = { 'cache-control': 'no-store' };
  readonly #protocol: GsProtocol;

  constructor(bucket: string, prefix: string, options: GsStorageOptions) {
    const { partBytes = 32 << 20, environment = process.env } = options;
    super(`gs://${bucket}`, prefix, { ...options, partBytes: Math.ceil(partBytes / blockBytes) * blockBytes });
    this.#protocol = new GsProtocol(bucket, environment, this.attempts);
  }

  protected send(request: ObjectRequest): Promise<ObjectAnswer> {
    return sendObjectRequest(this.#protocol, request);
  }

  protected versionOf(answer: Pick<ObjectAnswer, 'headers'>): FileVersion {
    return { bytes: totalBytesOf(answer), version: answer.headers.get('x-goog-generation') ?? '' };
  }

  protected conditionOf(replaces: string | null | undefined): Readonly<Record<string, string>> | undefined {
    if (replaces === undefined) return {};
    if (replaces !== null && !/^[1-9]\d*$/u.test(replaces)) return undefined;
    return { 'x-goog-if-generation-match': replaces ?? '0' };
  }

  protected isUnmet(status: number): boolean {
    return status === 412;
  }

  protected async askForBucket(signal: AbortSignal | undefined): Promise<void> {
    const query = { 'list-type': '2', 'max-keys': '1' };
    const accept: ObjectRequest['accept'] = (status) => status === 403;
    await discard(await this.send({ method: 'GET', key: '', query, signal, accept }));
  }

  protected listPage(prefix: string, next: string | undefined, signal: AbortSignal | undefined): Promise<ObjectPage> {
    return readPage((request) => this.send(request), { prefix, next, signal }, 'Generation');
  }

  /** Nothing to do: unfinished uploads are invisible and cost nothing. */
  protected async removeUploads(): Promise<void> {}

  protected async putParts(
    parts: AsyncIterable<Uint8Array>,
    condition: Readonly<Record<string, string>>,
    write: PartsWrite,
  ): Promise<FileVersion | undefined> {
    const { object, token, signal } = write;
    const session = await this.#begin(condition, write);
    if (session === undefined) return undefined;
    try {
      let bytes = 0;
      let progress: Progress = { kind: 'going', bytes };
      await sendParts(parts, async (part) => {
        const start = bytes;
        bytes += part.byteLength;
        // A part that is shorter than the others is the last one.
        const total = part.byteLength < this.partBytes ? bytes : undefined;
        progress = await this.#sendBlock(session, { part, start, total }, write);
      });
      const end = { part: new Uint8Array(), start: bytes, total: bytes };
      const { kind, version } = await this.#finish(progress, session, end, write);
      if (kind === 'unmet') return undefined;
      return version === undefined ? await this.findOwn(object, token, signal) : { bytes, version };
    } catch (error) {
      await this.#cancel(session);
      throw error;
    }
  }

  async #finish(
    progress: Progress,
    session: string,
    end: Block,
    write: PartsWrite,
  ): Promise<{ readonly kind: 'done' | 'unmet'; readonly version?: string | undefined }> {
    const last = progress.kind === 'going' ? await this.#sendBlock(session, end, write) : progress;
    if (last.kind !== 'going') return last;
    throw lostUploadError(write.file);
  }

  /** Begins an upload. @returns its URL, which is a secret, because it allows writing */
  async #begin(condition: Readonly<Record<string, string>>, write: PartsWrite): Promise<string | undefined> {
    const { object, file, token, signal } = write;
    const headers = {
      ...this.writeHeaders,
      [this.writeHeader]: token,
      'x-goog-resumable': 'start',
      ...condition,
    };
    const accept: ObjectRequest['accept'] = (status) => write.replaces !== undefined && this.isUnmet(status);
    const answer = await this.send({ method: 'POST', key: object, headers, signal, accept });
    await discard(answer);
    if (answer.status >= 300) return undefined;
    const location = answer.headers.get('location');
    if (location !== null && URL.canParse(location)) return location;
    throw new SentvecError('io-failed', `${file} was not written: the store returned no upload URL.`, { file });
  }

  /** Sends a block. If the response is lost, asks for the state of the upload and continues there. */
  #sendBlock(session: string, { part, start, total }: Block, { file, signal }: PartsWrite): Promise<Progress> {
    const end = start + part.byteLength;
    const whole = total ?? '*';
    return withRetries({ file, attempts: this.attempts, signal }, async (failures) => {
      let from = start;
      if (failures > 0) {
        const progress = await this.#ask(session, new Uint8Array(), `bytes */${whole}`, file, signal);
        if (progress.kind !== 'going') return progress;
        from = progress.bytes;
        if (from < start || from > end) throw lostUploadError(file);
        if (from === end && total === undefined) return progress;
      }
      const range = from === end ? `bytes */${whole}` : `bytes ${from}-${end - 1}/${whole}`;
      const progress = await this.#ask(session, part.subarray(from - start), range, file, signal);
      if (progress.kind === 'going' && progress.bytes < end)
        throw new PassingFailure(`it received ${progress.bytes} of ${end} bytes`);
      return progress;
    });
  }

  async #ask(
    session: string,
    body: Uint8Array,
    range: string,
    file: string,
    signal: AbortSignal | undefined,
  ): Promise<Progress> {
    const headers = { 'content-range': range };
    const answer = await sendRequest({ method: 'PUT', url: session, headers, body, signal });
    await discard(answer);
    const { status } = answer;
    if (status < 300) return { kind: 'done', version: answer.headers.get('x-goog-generation') ?? undefined };
    if (status === 308) {
      const last = /^bytes=0-(\d+)$/u.exec(answer.headers.get('range') ?? '')?.[1];
      return { kind: 'going', bytes: last === undefined ? 0 : Number(last) + 1 };
    }
    if (this.isUnmet(status)) return { kind: 'unmet' };
    if (this.#protocol.isPassing({ status, headers: answer.headers, code: '', text: '' }))
      throw new PassingFailure(`it returned ${status}`, retryAfter(answer.headers));
    if (status === 404 || status === 410) throw lostUploadError(file);
    throw new SentvecError('io-failed', `Google Cloud Storage refused a part of ${file} (${status}).`, {
      file,
      status,
    });
  }

  async #cancel(session: string): Promise<void> {
    try {
      await discard(await sendRequest({ method: 'DELETE', url: session, headers: {} }));
    } catch {
      // Ignored, so that the earlier error is thrown. Google removes the upload after a week.
    }
  }
}

function lostUploadError(file: string): SentvecError {
  const message = `${file} was not written: the store has lost the parts that were sent. Try again.`;
  return new SentvecError('io-failed', message, { file });
}
