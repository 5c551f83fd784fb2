// The worker thread that reads Parquet files. It can be terminated if the library hangs on a damaged file.
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { isStorageUri, locateFile } from '@sentvec/storage';
import { changedInputError, missingFileError } from '../inputs/input-file.ts';
import { isSystemError, ioError, serveThread } from '@sentvec/platform/node';
import { parquetRead, parquetSchema, type AsyncBuffer, type FileMetaData, type SchemaTree } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { checkPages, type ReadRange } from './page-check.ts';
import type { ParquetFile, ParquetProtocol, ParquetRange, ParquetRows, ParquetSummary } from './parquet-messages.ts';
import { footerLength, footerTailBytes, isFlat, leavesOf, parseFooter } from './parquet-metadata.ts';
import { parsers, readableSchema, textOf, toJson } from './parquet-values.ts';

/** An open file with its footer. */
interface OpenFile {
  readonly bytes: number;
  readonly read: ReadRange;
  readonly footer: Footer;
}

/** A cached footer: the next chunk is usually in the same file. */
interface Footer {
  readonly hash: string;
  readonly metadata: FileMetaData;
  readonly tree: SchemaTree;
  /** Columns and row groups whose pages were checked already. */
  readonly checked: Set<string>;
}

let latest: Footer | undefined;

async function reading<T>(file: ParquetFile, work: (file: OpenFile) => Promise<T>): Promise<T> {
  return isStorageUri(file.path) ? readingStored(file, work) : readingLocal(file, work);
}

async function readingStored<T>({ name, path }: ParquetFile, work: (file: OpenFile) => Promise<T>): Promise<T> {
  const { storage, key } = locateFile(path);
  const state = await storage.stat(key);
  if (state === undefined) throw missingFileError(name);
  try {
    const read = checkedRead(
      state.bytes,
      cachedRead((start, end) => storage.read(key, { start, end, version: state.version }), state.bytes),
    );
    return await work({ bytes: state.bytes, read, footer: await readFooter(read, state.bytes) });
  } catch (cause) {
    if (SentvecError.is(cause, 'io-failed') && cause.details['changed']) throw changedInputError(name);
    throw SentvecError.is(cause) ? cause : brokenError(name, cause);
  }
}

/** Bytes per request to a store. Page headers are small and close to each other, so one request has many of them. */
const blockBytes = 1 << 20;
const mostBlocks = 8;

/** Serves small ranges from cached blocks. Large ranges are requested directly. */
function cachedRead(read: (start: number, end: number) => Promise<Uint8Array>, size: number): ReadRange {
  const blocks = new Map<number, Promise<Uint8Array>>();
  return async (start, end) => {
    const index = Math.floor(start / blockBytes);
    if (end > (index + 1) * blockBytes) return Buffer.from(await read(start, end));
    const from = index * blockBytes;
    const block = blocks.get(index) ?? read(from, Math.min(size, from + blockBytes));
    blocks.delete(index);
    blocks.set(index, block);
    block.catch(() => blocks.delete(index));
    if (blocks.size > mostBlocks) blocks.delete(blocks.keys().next().value!);
    return Buffer.from((await block).subarray(start - from, end - from));
  };
}

async function readingLocal<T>({ name, path }: ParquetFile, work: (file: OpenFile) => Promise<T>): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const { size } = await handle.stat();
    const read = checkedRead(size, readerOf(handle));
    return await work({ bytes: size, read, footer: await readFooter(read, size) });
  } catch (cause) {
    if (isSystemError(cause)) throw ioError(cause, 'Reading', name);
    throw brokenError(name, cause);
  } finally {
    await handle?.close();
  }
}

function brokenError(name: string, cause: unknown): SentvecError {
  const message = `${name} is a broken Parquet file: ${cause instanceof Error ? cause.message : String(cause)}. Fetch or write it again.`;
  return new SentvecError('invalid-corpus', message, { file: name }, { cause });
}

function checkedRead(size: number, read: ReadRange): ReadRange {
  return async (start, end) => {
    if (start >= 0 && end >= start && end <= size) return read(start, end);
    throw new Error('its footer refers to bytes outside of the file');
  };
}

function readerOf(handle: FileHandle): ReadRange {
  return async (start, end) => {
    const bytes = Buffer.alloc(end - start);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
    if (bytesRead < bytes.length) throw new Error('it was truncated while it was being read');
    return bytes;
  };
}

async function readFooter(read: ReadRange, size: number): Promise<Footer> {
  const length = footerLength(await read(Math.max(0, size - footerTailBytes), size), size);
  const bytes = await read(size - footerTailBytes - length, size);
  const hash = createHash('sha256').update(bytes).digest('hex');
  if (latest?.hash === hash) return latest;
  const metadata = parseFooter(bytes, size);
  latest = { hash, metadata, tree: parquetSchema(metadata), checked: new Set() };
  return latest;
}

function summarize({ footer: { hash, metadata, tree } }: OpenFile): ParquetSummary {
  const columns = tree.children.map(({ element }) => element.name);
  const columnBytes = columns.map(() => 0);
  const groups = metadata.row_groups.map((group) => Number(group.num_rows));
  const owners = leavesOf(tree).map(({ path }) => columns.indexOf(path[0]!));
  for (const group of metadata.row_groups) {
    for (const [leaf, owner] of owners.entries())
      columnBytes[owner]! += Number(group.columns[leaf]?.meta_data?.total_uncompressed_size ?? 0);
  }
  return { rows: Number(metadata.num_rows), columns, columnBytes, groups, hash };
}

/** A row group and the range of its rows in the file. */
interface PlacedGroup {
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

function groupsWithin({ metadata }: Footer, start: number, end: number): PlacedGroup[] {
  const groups: PlacedGroup[] = [];
  let next = 0;
  for (const [index, group] of metadata.row_groups.entries()) {
    const first = next;
    next += Number(group.num_rows);
    if (next > start && first < end) groups.push({ index, start: first, end: next });
  }
  return groups;
}

async function readRows(file: OpenFile, range: ParquetRange): Promise<ParquetRows> {
  const { footer } = file;
  const { columns, texts } = range;
  const nodes = columns.map((name) => nodeOf(footer, name));
  await checkColumns(file, range, nodes);
  const values = await readColumns(file, range, nodes);
  const invalidTexts: [number, string][] = [];
  const records = Array.from({ length: range.end - range.start }, (_, row) =>
    Object.fromEntries(
      columns.map((name, index) => {
        const stored = values.get(name)![row];
        const value = texts.includes(name) ? textOf(stored) : stored;
        return [name, toJson(nodes[index]!, value, () => invalidTexts.push([row, name]))];
      }),
    ),
  );
  const content = createHash('sha256')
    .update(JSON.stringify([records, invalidTexts]))
    .digest('hex');
  return { records, invalidTexts, content, footer: footer.hash };
}

function nodeOf({ tree }: Footer, name: string): SchemaTree {
  const node = tree.children.find(({ element }) => element.name === name);
  if (node) return node;
  throw new Error(`it has no column "${name}"`);
}

async function checkColumns(
  { read, footer }: OpenFile,
  { start, end, columns }: ParquetRange,
  nodes: readonly SchemaTree[],
): Promise<void> {
  const leaves = nodes.flatMap(leavesOf);
  for (const group of groupsWithin(footer, start, end)) {
    const rowGroup = footer.metadata.row_groups[group.index]!;
    for (const chunk of rowGroup.columns) {
      const path = chunk.meta_data!.path_in_schema;
      const name = JSON.stringify([group.index, path]);
      if (!columns.includes(path[0]!) || footer.checked.has(name)) continue;
      const leaf = leaves.find((each) => each.path.join('.') === path.join('.'))!;
      await checkPages(read, chunk, Number(rowGroup.num_rows), isFlat(leaf));
      footer.checked.add(name);
    }
  }
}

/** The values of each column, one per row. */
async function readColumns(
  { bytes, read, footer }: OpenFile,
  { start, end, columns }: ParquetRange,
  nodes: readonly SchemaTree[],
): Promise<Map<string, unknown[]>> {
  const values = new Map(columns.map((name) => [name, Array.from<unknown>({ length: end - start })]));
  const filled = new Map(columns.map((name) => [name, 0]));
  const groups = groupsWithin(footer, start, end);
  let excess: string | undefined;
  const buffer: AsyncBuffer = {
    byteLength: bytes,
    slice: async (from, to = bytes) => {
      const block = await read(from, to);
      return block.buffer.slice(block.byteOffset, block.byteOffset + block.byteLength) as ArrayBuffer;
    },
  };
  await parquetRead({
    file: buffer,
    metadata: { ...footer.metadata, schema: readableSchema(footer.metadata.schema) },
    columns: [...columns],
    rowStart: start,
    rowEnd: end,
    compressors,
    // Not for lists, because their page index cannot be checked.
    useOffsetIndex: nodes.every(isFlat),
    utf8: false,
    parsers,
    onChunk: ({ columnName, columnData, rowStart }) => {
      const column = values.get(columnName)!;
      const group = groups.find((each) => each.start <= rowStart && rowStart < each.end);
      if (group === undefined || rowStart + columnData.length > group.end) excess ??= columnName;
      const first = Math.max(start, rowStart);
      const last = Math.min(end, rowStart + columnData.length);
      for (let row = first; row < last; row += 1) {
        const value: unknown = columnData[row - rowStart];
        if (value !== undefined) column[row - start] = value;
      }
      filled.set(columnName, filled.get(columnName)! + Math.max(0, last - first));
    },
  });
  const lacking = columns.find((name) => filled.get(name) !== end - start);
  const wrong = excess ?? lacking;
  if (wrong !== undefined) throw new Error(`its column "${wrong}" does not have as many rows as its footer says`);
  for (const [index, name] of columns.entries()) {
    // The library gives null for a null value, but `undefined` for a value that it did not find.
    const hole = isFlat(nodes[index]!) && values.get(name)!.includes(undefined);
    if (hole) throw new Error(`its column "${name}" refers to values that are missing`);
  }
  return values;
}

serveThread<ParquetProtocol>(
  () => ({
    ready: undefined,
    handlers: {
      summarize: (file) => reading(file, async (opened) => summarize(opened)),
      read: (range) => reading(range, (opened) => readRows(opened, range)),
    },
  }),
  { serial: true },
);
