/** Writes and reads a column of lists of one length, fast. */
import { parquetSchema, type FileMetaData } from 'hyparquet';
import { parquetHeader, readPage } from 'hyparquet/src/column.js';
import { convertWithDictionary, DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import { readDataPageV2 } from 'hyparquet/src/datapage.js';
import { getTreePath } from 'hyparquet/src/schema.js';
import { ByteWriter } from 'hyparquet-writer';
import type { writeColumn } from 'hyparquet-writer/src/column.js';
import { writePageHeader } from 'hyparquet-writer/src/datapage.js';
import { writeRleBitPackedHybrid } from 'hyparquet-writer/src/encoding.js';
import type { Precision } from '../request.ts';
import { allocateEntries, type ShardVectors } from './sink.ts';

type ColumnDecoder = Parameters<typeof readPage>[2];
type ColumnEncoding = Pick<Parameters<typeof writeColumn>[0], 'writer' | 'column'>;
type Vectors = Pick<ShardVectors, 'cols'> & { readonly data: Float32Array };

/** Bytes from which on a page is followed by another, at the next list. */
export const pageBytes: number = 1 << 20;

/**
 * Writes the entries of a column of lists as plain float32, byte for byte as `writeColumn` of the library does, which
 * takes each entry by itself and some fifteen times as long.
 */
export function writeFloatLists(
  { writer, column }: ColumnEncoding,
  { data, cols }: Vectors,
): ReturnType<typeof writeColumn> {
  const begin = writer.offset;
  const entries = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const rows = data.length / cols;
  const rowBytes = cols * data.BYTES_PER_ELEMENT;
  // A page ends before the row whose first entry would be the one that fills it.
  const rowsOfPage = Math.max(1, Math.ceil((pageBytes / data.BYTES_PER_ELEMENT - 1) / cols));
  const pages: { readonly offset: bigint; readonly compressed_page_size: number; readonly first_row_index: bigint }[] =
    [];
  let levels: ListLevels | undefined;
  for (let row = 0; row < rows; row += rowsOfPage) {
    const count = Math.min(rowsOfPage, rows - row);
    if (levels?.rows !== count) levels = levelsOfLists(count, cols);
    const offset = writer.offset;
    const values = entries.subarray(row * rowBytes, (row + count) * rowBytes);
    const { repetition, definition } = levels;
    const size = repetition.length + definition.length + values.length;
    writePageHeader(writer, {
      type: 'DATA_PAGE_V2',
      uncompressed_page_size: size,
      compressed_page_size: size,
      data_page_header_v2: {
        num_values: count * cols,
        num_nulls: 0,
        num_rows: count,
        encoding: 'PLAIN',
        definition_levels_byte_length: definition.length,
        repetition_levels_byte_length: repetition.length,
        is_compressed: true,
      },
    });
    for (const bytes of [repetition, definition, values]) writer.appendBytes(bytes);
    const bytes = writer.offset - offset;
    pages.push({ offset: BigInt(offset), compressed_page_size: bytes, first_row_index: BigInt(row) });
  }
  const size = BigInt(writer.offset - begin);
  return {
    chunk: {
      meta_data: {
        type: 'FLOAT',
        encodings: ['PLAIN'],
        path_in_schema: column.schemaPath.slice(1).map(({ name }) => name),
        codec: 'UNCOMPRESSED',
        num_values: BigInt(data.length),
        total_compressed_size: size,
        total_uncompressed_size: size,
        data_page_offset: BigInt(begin),
      },
      file_offset: BigInt(begin),
    },
    ...(pages.length > 1 && { offsetIndex: { page_locations: pages } }),
  };
}

/**
 * Encodes the levels of entries. The repetition level is 0 for the first entry of a list and 1 for the others; there
 * are no null entries.
 */
interface ListLevels {
  readonly rows: number;
  readonly repetition: Uint8Array;
  readonly definition: Uint8Array;
}

function levelsOfLists(rows: number, cols: number): ListLevels {
  // From this length on, each list is coded by itself: eight levels, then a run of ones.
  const coded = cols >= 16 ? 1 : rows;
  const levels = new Uint8Array(rows * cols).fill(1);
  const definition = codeLevels(levels);
  for (let at = 0; at < levels.length; at += cols) levels[at] = 0;
  const repetition = codeLevels(levels.subarray(0, coded * cols));
  return { rows, definition, repetition: Buffer.alloc((repetition.length * rows) / coded, repetition) };
}

function codeLevels(levels: Uint8Array): Uint8Array {
  const writer = new ByteWriter();
  writeRleBitPackedHybrid(writer, levels, 1);
  return writer.getBytes();
}

/**
 * Reads all entries of a list column into one array, from a file that the Parquet sink has written. The library's row
 * reader would create an array for each list, which takes about fifty times as long.
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
