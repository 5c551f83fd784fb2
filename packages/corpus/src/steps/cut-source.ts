import type { ChunkLimits, CorpusChunk, Cut } from '../chunk.ts';
import type { CorpusOptions } from '../request.ts';
import { cutBytes } from '../rows/cut-bytes.ts';
import { cutParquet } from '../rows/cut-parquet.ts';
import type { Source } from '../sources/source.ts';

/** Cuts a source into pieces within the limits, lazily, by a rule that depends on the source alone. */
export function cutSource(source: Source, options: CorpusOptions, limits: ChunkLimits): AsyncGenerator<Cut, void> {
  const { format } = source;
  if (format !== 'parquet') return cutBytes({ ...source, format }, options.split, limits);
  return cutParquet(source, fieldsOf(options), limits);
}

/** A piece in its place in the corpus. */
export function placeCut(
  cut: Cut,
  source: Source,
  place: { readonly index: number; readonly firstRow: number },
): CorpusChunk {
  const { name, path, format } = source;
  return { ...place, source: name, path, format, ...cut };
}

/** All fields that are read of a row, each once. */
export function fieldsOf({ textField, idField, columns }: CorpusOptions): string[] {
  return [...new Set([textField, ...(idField === null ? [] : [idField]), ...columns])];
}
