/** Reads a column of lists of one length, fast. */
import { parquetSchema, type FileMetaData } from 'hyparquet';
import { parquetHeader, readPage } from 'hyparquet/src/column.js';
import { convertWithDictionary, DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import { readDataPageV2 } from 'hyparquet/src/datapage.js';
import { getTreePath } from 'hyparquet/src/schema.js';
import type { Precision } from '../request.ts';
import { allocateEntries, type ShardVectors } from './sink.ts';

type ColumnDecoder = Parameters<typeof readPage>[2];

/**
 * The entries of a column of lists, one after the other, from a file that the Parquet sink has written. Reading it as
 * rows would make an array of each list first, which takes some fifty times as long.
 */
export function readListColumn(
  file: ArrayBuffer,
  metadata: FileMetaData,
  name: string,
  precision: Precision,
  length: number,
): ShardVectors['data'] {
  const entries = allocateEntries(precision, length);
  let filled = 0;
  for (const { meta_data: column } of metadata.row_groups.flatMap((group) => group.columns)) {
    if (column?.path_in_schema[0] !== name) continue;
    const schemaPath = getTreePath(parquetSchema(metadata), column.path_in_schema);
    const decoder = {
      ...column,
      pathInSchema: column.path_in_schema,
      schemaPath,
      element: schemaPath.at(-1)!.element,
      parsers: DEFAULT_PARSERS,
    };
    const start = Number(column.dictionary_page_offset ?? column.data_page_offset);
    for (const values of pagesOf(new DataView(file, start, Number(column.total_compressed_size)), decoder)) {
      entries.set(values, filled);
      filled += values.length;
    }
  }
  if (filled !== length) throw new Error(`The column ${name} has ${filled} entries, not ${length}.`);
  return entries;
}

function* pagesOf(view: DataView, decoder: ColumnDecoder): Generator<ArrayLike<number>, void> {
  const reader = { view, offset: 0 };
  let dictionary: ReturnType<typeof readPage>['data'];
  while (reader.offset < view.byteLength) {
    const header = parquetHeader(reader);
    if (header.type === 'DICTIONARY_PAGE') {
      dictionary = readPage(reader, header, decoder, undefined, undefined, 0).data;
      continue;
    }
    const bytes = new Uint8Array(view.buffer, view.byteOffset + reader.offset, header.compressed_page_size);
    reader.offset += header.compressed_page_size;
    const { dataPage } = readDataPageV2(bytes, header, decoder);
    yield convertWithDictionary(
      dataPage,
      dictionary,
      header.data_page_header_v2!.encoding,
      decoder,
    ) as ArrayLike<number>;
  }
}
