/** The hash that identifies the content of a chunk, see `content` of `CorpusChunk`. */
import { canonicalJson, sha256 } from '@sentvec/platform';
import type { InputFile } from '../inputs/input-file.ts';

/** Maximum bytes of a row. Larger rows are rejected without reading them. */
export const maxRowBytes: number = 64 * 1024 * 1024;

/**
 * Hashes a byte range, for CSV with the column names. For a range that is too long to be read, only its length is
 * hashed.
 */
export async function contentHash(
  file: InputFile,
  { start, end }: { readonly start: number; readonly end: number },
  columns: readonly string[] | undefined,
): Promise<string> {
  if (end - start > maxRowBytes) return sha256(`${end - start} bytes`);
  return hashContent(await file.read(start, end), columns);
}

/** Like {@link contentHash}, for bytes in memory. */
export async function hashContent(bytes: Buffer, columns: readonly string[] | undefined): Promise<string> {
  const hash = await sha256(bytes);
  return columns === undefined ? hash : sha256(canonicalJson([columns, hash]));
}
