/** Checks the page headers of a column against the footer of a Parquet file. */
import { parquetHeader } from 'hyparquet/src/column.js';
import { readOffsetIndex } from 'hyparquet/src/indexes.js';
import type { FileMetaData } from 'hyparquet';
import { byteRangeOf } from './parquet-metadata.ts';
import { checkThrift } from './thrift-check.ts';

/** Reads a range of a file. */
export type ReadRange = (start: number, end: number) => Promise<Buffer>;

type ColumnChunk = FileMetaData['row_groups'][number]['columns'][number];

/** Bytes that are first read for a page header. Its statistics can make it longer. */
const headerBytes = 1024;
const longestHeader = 1 << 20;

/** Upper limit for the values or bytes of a page. No writer makes larger pages. */
const mostValues = 1 << 26;
const mostBytes = 1 << 30;

/**
 * Checks the pages of a column in a row group against the footer and, for a flat column, against the page index.
 *
 * @throws Error when they contradict each other, or a page is damaged
 */
export async function checkPages(read: ReadRange, chunk: ColumnChunk, groupRows: number, flat: boolean): Promise<void> {
  const column = chunk.meta_data!;
  const name = column.path_in_schema.join('.');
  const { start, end } = byteRangeOf(column);
  const pages: { readonly offset: number; readonly firstRow: number }[] = [];
  let values = 0;
  for (let position = start; position < end;) {
    const { header, length } = await readHeader(read, position, end);
    const data = header.data_page_header ?? header.data_page_header_v2;
    const size = header.compressed_page_size;
    if (size < 0 || position + length + size > end || header.uncompressed_page_size > mostBytes)
      throw new Error(`a page of its column "${name}" has an impossible size`);
    if (data) {
      if (!(data.num_values >= 0 && data.num_values <= mostValues))
        throw new Error(`a page of its column "${name}" has ${data.num_values} values`);
      pages.push({ offset: position, firstRow: values });
      values += data.num_values;
    }
    position += length + size;
  }
  if (values !== Number(column.num_values))
    throw new Error(`its column "${name}" has ${values} values in a row group, its footer says ${column.num_values}`);
  if (flat) await checkPageIndex(read, chunk, pages, groupRows);
}

async function readHeader(
  read: ReadRange,
  position: number,
  end: number,
): Promise<{ readonly header: ReturnType<typeof parquetHeader>; readonly length: number }> {
  for (let bytes = headerBytes; ; bytes *= 8) {
    const block = await read(position, Math.min(end, position + bytes));
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    try {
      checkThrift(view);
    } catch (error) {
      // The header may be longer than the bytes read so far: read more.
      if (error instanceof RangeError && bytes < longestHeader && position + bytes < end) continue;
      throw error;
    }
    const reader = { view, offset: 0 };
    return { header: parquetHeader(reader), length: reader.offset };
  }
}

/** The page index decides which pages are skipped, so a wrong index would give values of other rows. */
async function checkPageIndex(
  read: ReadRange,
  { meta_data: column, offset_index_offset: offset, offset_index_length: length }: ColumnChunk,
  pages: readonly { readonly offset: number; readonly firstRow: number }[],
  groupRows: number,
): Promise<void> {
  if (!offset || !length) return;
  const block = await read(Number(offset), Number(offset) + length);
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  checkThrift(view);
  const { page_locations: locations } = readOffsetIndex({ view, offset: 0 });
  const isRight =
    locations.length === pages.length &&
    locations.every(
      (location, index) =>
        Number(location.offset) === pages[index]!.offset && Number(location.first_row_index) === pages[index]!.firstRow,
    );
  if (!isRight && groupRows > 0)
    throw new Error(`the page index of its column "${column!.path_in_schema.join('.')}" is wrong`);
}
