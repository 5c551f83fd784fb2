/** Storage in a bucket of S3 or a compatible store: MinIO, R2, Ceph and others. */
import { checkOptionNames, SentvecError } from '@sentvec/platform';
import { discard, totalBytesOf } from '../http.ts';
import { keyOf, readPage } from '../objects/object-list.ts';
import { sendObjectRequest, type ObjectAnswer, type ObjectRequest } from '../objects/object-requests.ts';
import {
  ObjectStorage,
  objectOptionNames,
  sendParts,
  type ObjectPage,
  type ObjectStorageOptions,
  type PartsWrite,
} from '../objects/object-storage.ts';
import { elements, escapeXml, textOfElement } from '../objects/xml.ts';
import type { FileVersion, Storage } from '../storage.ts';
import { S3Protocol } from './s3-client.ts';

/**
 * Options of {@link s3Storage}. Environment variables: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_REGION`,
 * `AWS_ENDPOINT_URL` and the other variables of AWS's tools. S3 allows at most 10,000 parts of at least 5 MiB.
 */
export type S3StorageOptions = ObjectStorageOptions;

const mostParts = 10_000;

/**
 * A storage of the objects below a prefix in a bucket.
 *
 * Conditional writes use `If-None-Match` and `If-Match`. If the response of a write is lost, the store is checked
 * before the write is repeated.
 *
 * @param prefix prefix of all keys, with or without a trailing slash
 */
export function s3Storage(bucket: string, prefix = '', options: S3StorageOptions = {}): Storage {
  checkOptionNames('s3Storage()', options, objectOptionNames);
  return new S3Storage(bucket, prefix, options);
}

class S3Storage extends ObjectStorage {
  protected readonly writeHeader = 'x-amz-meta-sentvec-write';
  readonly #protocol: S3Protocol;

  constructor(bucket: string, prefix: string, options: S3StorageOptions) {
    super(`s3://${bucket}`, prefix, options);
    this.#protocol = new S3Protocol({
      bucket,
      environment: options.environment ?? process.env,
      attempts: this.attempts,
    });
  }

  protected send(request: ObjectRequest): Promise<ObjectAnswer> {
    return sendObjectRequest(this.#protocol, request);
  }

  protected versionOf(answer: Pick<ObjectAnswer, 'headers'>): FileVersion {
    return { bytes: totalBytesOf(answer), version: answer.headers.get('etag') ?? '' };
  }

  protected conditionOf(replaces: string | null | undefined): Readonly<Record<string, string>> {
    if (replaces === undefined) return {};
    return replaces === null ? { 'if-none-match': '*' } : { 'if-match': replaces };
  }

  /** Whether a condition was not met. 404: there is no object that `If-Match` could match. */
  protected isUnmet(status: number): boolean {
    return status === 404 || status === 412;
  }

  protected async askForBucket(signal: AbortSignal | undefined): Promise<void> {
    const query = { 'list-type': '2', 'max-keys': '0' };
    const accept: ObjectRequest['accept'] = (status) => status === 403;
    await discard(await this.send({ method: 'GET', key: '', query, signal, accept }));
  }

  protected listPage(prefix: string, next: string | undefined, signal: AbortSignal | undefined): Promise<ObjectPage> {
    return readPage((request) => this.send(request), { prefix, next, signal }, 'ETag');
  }

  protected async removeUploads(prefix: string, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      const query = { uploads: '', 'encoding-type': 'url', prefix };
      const { text: page } = await this.send({ method: 'GET', key: '', query, signal, readsText: true });
      const uploads = elements(page, 'Upload');
      for (const upload of uploads) {
        await this.#abort(keyOf(upload, page), textOfElement(upload, 'UploadId') ?? '', signal);
      }
      if (uploads.length === 0 || textOfElement(page, 'IsTruncated') !== 'true') return;
    }
  }

  protected async putParts(
    parts: AsyncIterable<Uint8Array>,
    condition: Readonly<Record<string, string>>,
    write: PartsWrite,
  ): Promise<FileVersion | undefined> {
    const { object, token, signal } = write;
    const headers = { [this.writeHeader]: token };
    const begin = { method: 'POST', key: object, query: { uploads: '' }, headers, signal, readsText: true } as const;
    const uploadId = textOfElement((await this.send(begin)).text, 'UploadId') ?? '';
    try {
      const tags: string[] = [];
      const bytes = await sendParts(parts, async (body, index) => {
        if (index >= mostParts) throw this.#tooLargeError(write.file);
        const query = { partNumber: String(index + 1), uploadId };
        const answer = await this.send({ method: 'PUT', key: object, query, body, signal });
        await discard(answer);
        tags.push(answer.headers.get('etag') ?? '');
      });
      return await this.#complete({ uploadId, tags, bytes }, condition, write);
    } catch (error) {
      await this.#abort(object, uploadId).catch(() => {}); // Ignored, so that the earlier error is thrown.
      throw error;
    }
  }

  async #complete(
    { uploadId, tags, bytes }: { readonly uploadId: string; readonly tags: readonly string[]; readonly bytes: number },
    condition: Readonly<Record<string, string>>,
    { object, file, token, replaces, signal }: PartsWrite,
  ): Promise<FileVersion | undefined> {
    const list = tags.map(
      (tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escapeXml(tag)}</ETag></Part>`,
    );
    const answer = await this.send({
      method: 'POST',
      key: object,
      query: { uploadId },
      headers: condition,
      body: Buffer.from(`<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`),
      signal,
      accept: (status) => this.isUnmet(status),
      readsText: true,
    });
    const { text } = answer;
    // S3 may send the status 200 before it knows the result, and then an error in the body.
    const failed = answer.status >= 300 || textOfElement(text, 'Error') !== undefined;
    if (!failed) return { bytes, version: textOfElement(text, 'ETag') ?? '' };
    const own = await this.findOwn(object, token, signal);
    if (own) return own;
    await this.#abort(object, uploadId, signal);
    if (answer.status === 412 || (answer.status === 404 && replaces)) return undefined;
    const reason = textOfElement(text, 'Code') ?? String(answer.status);
    const message = `${file} was not written: the store failed to join its parts (${reason}). Try again.`;
    throw new SentvecError('io-failed', message, { file });
  }

  async #abort(object: string, uploadId: string, signal?: AbortSignal): Promise<void> {
    const accept: ObjectRequest['accept'] = (status) => status === 404;
    await discard(await this.send({ method: 'DELETE', key: object, query: { uploadId }, signal, accept }));
  }

  #tooLargeError(file: string): SentvecError {
    const most = Math.floor((mostParts * this.partBytes) / 2 ** 30);
    const message = `${file} is too large: an object that is uploaded in parts has at most ${most} GiB.`;
    return new SentvecError('io-failed', message, { file });
  }
}
