/** Reads pages of an object list in S3's XML format, which Google Cloud Storage uses too. */
import type { ObjectAnswer, ObjectRequest } from './object-requests.ts';
import type { ObjectPage } from './object-storage.ts';
import { elements, textOfElement } from './xml.ts';

/** A request for a page of a list. */
export interface PageRequest {
  readonly prefix: string;
  readonly next?: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Requests and parses a page. @param version name of the XML element with the version of an object */
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

/** The key of a list entry. Servers that ignore `encoding-type` return keys without encoding. */
export function keyOf(entry: string, page: string): string {
  const key = textOfElement(entry, 'Key') ?? '';
  return textOfElement(page, 'EncodingType') === 'url' ? decodeURIComponent(key.replaceAll('+', ' ')) : key;
}
