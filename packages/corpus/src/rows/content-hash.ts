/** The hash that identifies what a chunk is made of: see `content` of `CorpusChunk`. */
import { canonicalJson, sha256 } from '@sentvec/platform';
import type { InputFile } from '../inputs/input-file.ts';

/** The most bytes of a row that is read. A larger one is rejected unread. */
export const maxRowBytes: number = 64 * 1024 * 1024;

/** Of a range of bytes, with the names of the columns in CSV. A range that is too long to be read counts by its length. */
export async function contentHash(
  file: InputFile,
  { start, end }: { readonly start: number; readonly end: number },
  columns: readonly string[] | undefined,
): Promise<string> {
  if (end - start > maxRowBytes) return sha256(`${end - start} bytes`);
  return hashContent(await file.read(start, end), columns);
}

/** Like {@link contentHash}, of bytes that have been read. */
export async function hashContent(bytes: Buffer, columns: readonly string[] | undefined): Promise<string> {
  const hash = await sha256(bytes);
  return columns === undefined ? hash : sha256(canonicalJson([columns, hash]));
}
