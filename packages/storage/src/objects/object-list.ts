/** The pages of a list in the form of S3, which Google's stores answer in, too. */
import type { ObjectAnswer, ObjectRequest } from './object-requests.ts';
import type { ObjectPage } from './object-storage.ts';
import { elements, textOfElement } from './xml.ts';

/** A page of a list, and where it begins. */
export interface PageRequest {
  readonly prefix: string;
  readonly next?: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @param version the element with the version of an object */
export async function readPage(
  send: (request: ObjectRequest) => Promise<ObjectAnswer>,
  { prefix, next, signal }: PageRequest,
  version: 'ETag' | 'Generation',
): Promise<ObjectPage> {
  const first = { 'list-type': '2', 'encoding-type': 'url', prefix };
  const query = next === undefined ? first : { ...first, 'continuation-token': next };
  const { text: page } = await send({ method: 'GET', key: '', query, signal, readsText: true });
  const files = elements(page, 'Contents').map((entry) => ({
    key: keyOf(entry, page),
    bytes: Number(textOfElement(entry, 'Size')),
    version: textOfElement(entry, version) ?? '',
  }));
  const isTruncated = textOfElement(page, 'IsTruncated') === 'true';
  return { files, next: isTruncated ? textOfElement(page, 'NextContinuationToken') : undefined };
}

/** The key of an entry of a list. A server that does not know `encoding-type` gives keys as they are. */
export function keyOf(entry: string, page: string): string {
  const key = textOfElement(entry, 'Key') ?? '';
  return textOfElement(page, 'EncodingType') === 'url' ? decodeURIComponent(key.replaceAll('+', ' ')) : key;
}
