/** The pages of a list in the form of S3, which Google's stores answer in, too. */
import type { ObjectPage } from './object-storage.ts';
import { elements, textOfElement } from './xml.ts';

/** The query of a page. */
export function listQuery(prefix: string, next: string | undefined): Readonly<Record<string, string>> {
  const page = { 'list-type': '2', 'encoding-type': 'url', prefix };
  return next === undefined ? page : { ...page, 'continuation-token': next };
}

/** @param version the element with the version of an object */
export function readPage(page: string, version: 'ETag' | 'Generation'): ObjectPage {
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
