/** Storage in a container of Azure Blob Storage, as block blobs. */
import { checkOptionNames, SentvecError } from '@sentvec/platform';
import { discard, totalBytesOf } from '../http.ts';
import { sendObjectRequest, type ObjectAnswer, type ObjectRequest } from '../objects/object-requests.ts';
import {
  ObjectStorage,
  objectOptionNames,
  sendParts,
  type ObjectPage,
  type ObjectStorageOptions,
  type PartsWrite,
} from '../objects/object-storage.ts';
import { elements, textOfElement } from '../objects/xml.ts';
import type { FileVersion, Storage } from '../storage.ts';
import { AzProtocol } from './az-client.ts';

/**
 * Options of {@link azStorage}. Environment variables: `AZURE_STORAGE_ACCOUNT`, `AZURE_STORAGE_KEY`,
 * `AZURE_STORAGE_SAS_TOKEN`, `AZURE_STORAGE_CONNECTION_STRING`, `AZURE_CLIENT_ID` and the other variables of Azure's
 * tools. `AZURE_STORAGE_ENDPOINT` is the URL of another server with this protocol. A blob has at most 50,000 parts.
 */
export type AzStorageOptions = ObjectStorageOptions;

const mostParts = 50_000;

/**
 * Error codes of an unmet condition. The status alone is not enough, because other errors, such as a lease, have the
 * same status.
 */
const unmetCodes: ReadonlySet<string> = new Set(['BlobAlreadyExists', 'BlobNotFound', 'ConditionNotMet']);

/**
 * A storage of the blobs below a prefix in a container. Versions are ETags; conditional writes use `If-None-Match` and
 * `If-Match`. Streams are uploaded as blocks, which are then committed atomically as a blob. Azure removes uncommitted
 * blocks of killed writers after a week.
 *
 * @param prefix prefix of all keys, with or without a trailing slash
 */
export function azStorage(container: string, prefix = '', options: AzStorageOptions = {}): Storage {
  checkOptionNames('azStorage()', options, objectOptionNames);
  return new AzStorage(container, prefix, options);
}

class AzStorage extends ObjectStorage {
  protected readonly writeHeader = 'x-ms-meta-sentvec_write';
  protected override readonly writeHeaders = { 'x-ms-blob-type': 'BlockBlob' };
  readonly #protocol: AzProtocol;

  constructor(container: string, prefix: string, options: AzStorageOptions) {
    super(`az://${container}`, prefix, options);
    this.#protocol = new AzProtocol(container, options.environment ?? process.env, this.attempts);
  }

  protected send(request: ObjectRequest): Promise<ObjectAnswer> {
    return sendObjectRequest(this.#protocol, request);
  }

  protected versionOf(answer: Pick<ObjectAnswer, 'headers'>): FileVersion {
    return { bytes: totalBytesOf(answer), version: answer.headers.get('etag') ?? '' };
  }

  protected conditionOf(replaces: string | null | undefined): Readonly<Record<string, string>> | undefined {
    if (replaces === undefined) return {};
    if (replaces === null) return { 'if-none-match': '*' };
    return /^"[^"]+"$/u.test(replaces) ? { 'if-match': replaces } : undefined;
  }

  protected isUnmet(status: number, headers: Headers): boolean {
    const isRefused = status === 404 || status === 409 || status === 412;
    return isRefused && unmetCodes.has(headers.get('x-ms-error-code') ?? '');
  }

  protected async askForBucket(signal: AbortSignal | undefined): Promise<void> {
    const query = { restype: 'container', comp: 'list', maxresults: '1' };
    const accept: ObjectRequest['accept'] = (status) => status === 403;
    await discard(await this.send({ method: 'GET', key: '', query, signal, accept }));
  }

  protected listPage(prefix: string, next: string | undefined, signal: AbortSignal | undefined): Promise<ObjectPage> {
    return this.#listPage({ prefix, ...(next !== undefined && { marker: next }) }, signal);
  }

  async #listPage(parameters: Record<string, string>, signal: AbortSignal | undefined): Promise<ObjectPage> {
    const query = { restype: 'container', comp: 'list', ...parameters };
    const { text } = await this.send({ method: 'GET', key: '', query, signal, readsText: true });
    const blobs = elements(text, 'Blob').filter((blob) => textOfElement(blob, 'ResourceType') !== 'directory');
    const files = blobs.map((blob) => ({
      key: nameOf(blob),
      bytes: Number(textOfElement(blob, 'Content-Length')),
      version: `"${textOfElement(blob, 'Etag')?.replaceAll('"', '')}"`,
    }));
    return { files, next: textOfElement(text, 'NextMarker') || undefined };
  }

  /**
   * Removes blobs that have only uncommitted blocks: writing an empty blob discards the blocks, and then the blob is
   * removed.
   */
  protected async removeUploads(prefix: string, signal: AbortSignal | undefined): Promise<void> {
    let next: string | undefined;
    do {
      const parameters = { prefix, include: 'uncommittedblobs', ...(next !== undefined && { marker: next }) };
      const page = await this.#listPage(parameters, signal);
      for (const { key, bytes } of page.files) if (bytes === 0) await this.#removeBlocks(key, signal);
      ({ next } = page);
    } while (next !== undefined);
  }

  async #removeBlocks(object: string, signal: AbortSignal | undefined): Promise<void> {
    const accept: ObjectRequest['accept'] = (status, headers) => status === 404 || this.isUnmet(status, headers);
    const there = await this.send({ method: 'HEAD', key: object, signal, accept });
    await discard(there);
    if (there.status !== 404) return;
    const headers = { 'if-none-match': '*' };
    const query = { comp: 'blocklist' };
    const empty = await this.send({ method: 'PUT', key: object, query, headers, body: blockList([]), signal, accept });
    await discard(empty);
    const etag = empty.headers.get('etag');
    if (empty.status >= 300 || etag === null) return;
    await discard(await this.send({ method: 'DELETE', key: object, headers: { 'if-match': etag }, signal, accept }));
  }

  protected async putParts(
    parts: AsyncIterable<Uint8Array>,
    condition: Readonly<Record<string, string>>,
    write: PartsWrite,
  ): Promise<FileVersion | undefined> {
    const { object, file, token, signal } = write;
    const ids: string[] = [];
    const bytes = await sendParts(parts, async (body, index) => {
      if (index >= mostParts) throw this.#tooLargeError(file);
      // Concurrent writers of a blob need different block ids, and all block ids of a blob must have the same length.
      const blockid = Buffer.from(`${token}-${String(index).padStart(6, '0')}`).toString('base64');
      await discard(await this.send({ method: 'PUT', key: object, query: { comp: 'block', blockid }, body, signal }));
      ids.push(blockid);
    });
    const answer = await this.send({
      method: 'PUT',
      key: object,
      query: { comp: 'blocklist' },
      headers: { [this.writeHeader]: token, ...condition },
      body: blockList(ids),
      signal,
      accept: (status, headers) => isLost(headers) || (write.replaces !== undefined && this.isUnmet(status, headers)),
    });
    await discard(answer);
    if (answer.status < 300) return { bytes, version: this.versionOf(answer).version };
    const own = await this.findOwn(object, token, signal);
    if (own || !isLost(answer.headers)) return own;
    return this.#explainLoss(write);
  }

  /**
   * Explains lost blocks: another writer has committed the same blob first, which discards the blocks of all others.
   */
  async #explainLoss({ object, file, replaces, signal }: PartsWrite): Promise<undefined> {
    const accept: ObjectRequest['accept'] = (status) => status === 404;
    const there = await this.send({ method: 'HEAD', key: object, signal, accept });
    await discard(there);
    const now = there.status === 404 ? null : this.versionOf(there).version;
    if (replaces !== undefined && now !== replaces) return undefined;
    const message = `${file} was not written: another program has written it at the same time. Try again.`;
    throw new SentvecError('io-failed', message, { file });
  }

  #tooLargeError(file: string): SentvecError {
    const most = Math.floor((mostParts * this.partBytes) / 2 ** 30);
    const message = `${file} is too large: a blob that is uploaded in parts has at most ${most} GiB.`;
    return new SentvecError('io-failed', message, { file });
  }
}

/** The XML that commits blocks as a blob. */
function blockList(ids: readonly string[]): Uint8Array {
  const list = ids.map((id) => `<Latest>${id}</Latest>`).join('');
  return Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${list}</BlockList>`);
}

/** Whether a response means that blocks no longer exist. */
function isLost(headers: Headers): boolean {
  return headers.get('x-ms-error-code') === 'InvalidBlockList';
}

/** Decodes a blob name in a list. Azure percent-encodes names that XML cannot represent. */
function nameOf(blob: string): string {
  const name = textOfElement(blob, 'Name') ?? '';
  return /<Name Encoded="true">/u.test(blob) ? decodeURIComponent(name) : name;
}
