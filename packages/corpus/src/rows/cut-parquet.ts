import type { ChunkLimits, Cut } from '../chunk.ts';
import type { Source } from '../sources/source.ts';
import { readParquetMetadata } from './parquet-file.ts';

/**
 * Cuts a Parquet file into ranges of rows. The limit of bytes is kept on average: the footer says how large the columns
 * are, not the rows.
 *
 * @throws SentvecError `invalid-corpus` for a broken file, `io-failed`
 */
export async function* cutParquet(
  source: Source,
  columns: readonly string[],
  limits: ChunkLimits,
): AsyncGenerator<Cut, void> {
  const { metadata, rows } = await readParquetMetadata(source.name, source.path);
  let size = 0;
  for (const { meta_data: column } of metadata.row_groups.flatMap((group) => group.columns)) {
    if (column && columns.includes(column.path_in_schema[0] ?? '')) size += Number(column.total_uncompressed_size);
  }
  const step = Math.max(1, Math.min(limits.rows, Math.floor((limits.bytes * rows) / Math.max(size, 1))));
  const share = (row: number): number => Math.floor((source.bytes * row) / rows);
  for (let start = 0; start < rows; start += step) {
    const end = Math.min(rows, start + step);
    yield { start, end, firstSourceRow: start, rows: end - start, firstLine: 0, bytes: share(end) - share(start) };
  }
}
