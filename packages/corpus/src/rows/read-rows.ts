import type { CorpusChunk } from '../chunk.ts';
import type { Rejection } from '../rejection.ts';
import type { CorpusOptions } from '../request.ts';
import { readByteRows } from './read-bytes.ts';
import { readParquetRows } from './parquet-file.ts';
import { jsonValue } from './json-value.ts';
import { takeRow, type Row, type RowFields } from './row.ts';

/** The rows of a chunk that can be embedded, and those that cannot, each in order. */
export interface ChunkRows {
  readonly rows: readonly Row[];
  readonly rejections: readonly Rejection[];
}

/**
 * Reads the rows of a chunk.
 *
 * @throws SentvecError `invalid-corpus` when the file has changed since it was planned or cannot be read at all,
 * `io-failed`
 */
export async function readChunk(
  chunk: CorpusChunk,
  split: CorpusOptions['split'],
  fields: RowFields,
): Promise<ChunkRows> {
  const { format } = chunk;
  const items =
    format === 'parquet'
      ? await readFromParquet(chunk, fields)
      : await readByteRows({ ...chunk, format }, split, fields);
  const rows: Row[] = [];
  const rejections: Rejection[] = [];
  for (const item of items) {
    if ('code' in item) rejections.push(item);
    else rows.push(item);
  }
  return { rows, rejections };
}

async function readFromParquet(chunk: CorpusChunk, fields: RowFields): Promise<(Row | Rejection)[]> {
  const { textField, idField } = fields;
  const columns = [...new Set([textField, ...(idField === null ? [] : [idField]), ...fields.columns])];
  const records = await readParquetRows(chunk.source, chunk.path, { start: chunk.start, end: chunk.end, columns });
  return records.map((record, index) => {
    const place = { file: chunk.source, sourceRow: chunk.firstSourceRow + index, row: chunk.firstRow + index };
    return takeRow(jsonValue(record) as Record<string, unknown>, place, fields);
  });
}
