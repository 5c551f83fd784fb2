/**
 * Checks the footer of a Parquet file before the library reads it, because the library can loop forever on a damaged
 * footer, or lose rows if the footer contradicts the pages.
 */
import { parquetMetadata, parquetSchema, type FileMetaData, type SchemaElement, type SchemaTree } from 'hyparquet';
import { checkThrift } from './thrift-check.ts';

/** Maximum nesting depth of columns. */
const deepestSchema = 64;

/** Size of the end of a file: four bytes of footer length and four bytes of magic number. */
export const footerTailBytes = 8;

/**
 * Reads the length of the footer in bytes.
 *
 * @param tail the last eight bytes of the file
 * @throws Error for a file that is not Parquet, or is cut off
 */
export function footerLength(tail: Buffer, fileBytes: number): number {
  if (tail.length < footerTailBytes || tail.toString('latin1', 4) !== 'PAR1')
    throw new Error('it does not end with the magic number, so it may be cut off');
  const length = tail.readUInt32LE(0);
  if (length > fileBytes - footerTailBytes) throw new Error('its footer is longer than the file');
  return length;
}

/**
 * Parses a footer.
 *
 * @param footer the bytes of the footer, with the eight bytes after it
 * @throws Error when it is damaged or contradicts itself or the size of the file
 */
export function parseFooter(footer: Uint8Array, fileBytes: number): FileMetaData {
  checkThrift(new DataView(footer.buffer, footer.byteOffset, footer.byteLength - footerTailBytes));
  // Do not parse geographic columns.
  const metadata = parquetMetadata(footer, { geoparquet: false });
  checkSchema(metadata.schema);
  const leaves = leavesOf(parquetSchema(metadata));
  let rows = 0;
  for (const [index, group] of metadata.row_groups.entries()) {
    const groupRows = checkCount(group.num_rows, `the rows of row group ${index}`);
    rows += groupRows;
    if (group.columns.length !== leaves.length)
      throw new Error(`row group ${index} has ${group.columns.length} columns, the schema ${leaves.length}`);
    for (const [column, leaf] of leaves.entries())
      checkColumn(group.columns[column]!.meta_data, leaf, groupRows, fileBytes);
  }
  if (checkCount(metadata.num_rows, 'the rows of the file') !== rows)
    throw new Error(`its footer says ${metadata.num_rows} rows, its row groups have ${rows}`);
  return metadata;
}

/** The columns with values (leaves of the schema), in the order of a row group. */
export function leavesOf(tree: SchemaTree): SchemaTree[] {
  return tree.children.length === 0 ? [tree] : tree.children.flatMap(leavesOf);
}

/** Whether a column is flat: one value per row, neither repeated nor nested. */
export function isFlat({ path, element, children }: SchemaTree): boolean {
  return path.length === 1 && children.length === 0 && element.repetition_type !== 'REPEATED';
}

/** Checks the schema: a flat list, in which each element has the number of its children that follow. */
function checkSchema(schema: readonly SchemaElement[]): void {
  const open: number[] = [];
  for (const [index, { name, num_children: children = 0, type }] of schema.entries()) {
    if (index > 0 && open.length === 0) throw new Error('its schema has elements without a parent');
    if (index > 0) open[open.length - 1]! -= 1;
    if (!Number.isInteger(children) || children < 0 || children > schema.length)
      throw new Error(`its schema gives "${name}" ${String(children)} children`);
    if (children === 0 && type === undefined && index > 0) throw new Error(`its column "${name}" has no type`);
    if (children > 0) open.push(children);
    if (open.length > deepestSchema) throw new Error(`its columns are nested deeper than ${deepestSchema}`);
    while (open.at(-1) === 0) open.pop();
  }
  if (schema.length === 0 || open.length > 0) throw new Error('its schema ends too early');
}

type ColumnMetadata = FileMetaData['row_groups'][number]['columns'][number]['meta_data'];

function checkColumn(column: ColumnMetadata, leaf: SchemaTree, groupRows: number, fileBytes: number): void {
  const name = leaf.path.join('.');
  if (column?.path_in_schema.join('.') !== name) throw new Error(`its column "${name}" is missing in a row group`);
  const values = checkCount(column.num_values, `the values of "${name}"`);
  if (isFlat(leaf) && values !== groupRows)
    throw new Error(`its column "${name}" has ${values} values in a row group of ${groupRows} rows`);
  const { start, end } = byteRangeOf(column);
  if (start < 4 || end < start || end > fileBytes) throw new Error(`its column "${name}" is outside of the file`);
}

/** The byte range of a column's pages in the file. */
export function byteRangeOf(column: NonNullable<ColumnMetadata>): { readonly start: number; readonly end: number } {
  const start = Number(column.dictionary_page_offset || column.data_page_offset);
  return { start, end: start + Number(column.total_compressed_size) };
}

function checkCount(value: unknown, what: string): number {
  const count = Number(value);
  if (Number.isSafeInteger(count) && count >= 0) return count;
  throw new Error(`its footer says ${String(value)} for ${what}`);
}
