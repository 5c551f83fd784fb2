/** Splits an input into pieces of bounded size: of bytes, or of rows in Parquet. */
import type { ChunkLimits, CorpusChunk, InputSplit } from '../chunk.ts';
import type { InspectedInput } from '../inputs/inspect-input.ts';
import type { ByteFormat, CorpusOptions } from '../request.ts';
import { byteBlocks } from './byte-range.ts';
import { readParquetMetadata } from './parquet.ts';
import { createRowScanner, unclosedQuoteError } from './row-scanner.ts';

/**
 * Splits an input into pieces within the limits, lazily, by a rule that depends on the input, the options and the limits
 * alone.
 *
 * @throws SentvecError `invalid-corpus` for a broken file or a quote that nothing closes, `io-failed`
 */
export function splitInput(
  input: InspectedInput,
  options: CorpusOptions,
  limits: ChunkLimits,
): AsyncGenerator<InputSplit, void> {
  const { format } = input;
  if (format !== 'parquet') return splitBytes({ ...input, format }, options.split, limits);
  return splitParquet(input, fieldsOf(options), limits);
}

/** A piece of an input as a chunk of the corpus. */
export function toChunk(
  split: InputSplit,
  { name, path, format }: InspectedInput,
  position: Pick<CorpusChunk, 'index' | 'firstRow'>,
): CorpusChunk {
  return { ...position, input: name, path, format, ...split };
}

/** All fields that are read from a row, each once. */
export function fieldsOf({
  textField,
  idField,
  columns,
}: Pick<CorpusOptions, 'textField' | 'idField' | 'columns'>): string[] {
  return [...new Set([textField, ...(idField === null ? [] : [idField]), ...columns])];
}

/** Reads the file once, a block at a time. */
async function* splitBytes(
  input: InspectedInput & { readonly format: ByteFormat },
  split: CorpusOptions['split'],
  limits: ChunkLimits,
): AsyncGenerator<InputSplit, void> {
  const done: InputSplit[] = [];
  let open: InputSplit | undefined;
  let rows = 0;
  const begin = { position: input.start, line: input.firstLine };
  const scanner = createRowScanner(input.format, split, begin, (start, next, line) => {
    if (open && (open.rows === limits.rows || next - open.start > limits.bytes)) {
      done.push(open);
      open = undefined;
    }
    const from = open ?? { start, firstInputRow: rows, rows: 0, firstLine: line };
    open = { ...from, end: next, rows: from.rows + 1, bytes: next - from.start };
    rows += 1;
  });
  for await (const block of byteBlocks(input.path, input.start, input.bytes)) {
    scanner.push(block);
    yield* done.splice(0);
  }
  const unclosed = scanner.end();
  if (unclosed !== undefined) throw unclosedQuoteError(input.name, unclosed);
  if (open) done.push(open);
  yield* done;
}

/** The limit of bytes holds on average: the footer says how large the columns are, not the rows. */
async function* splitParquet(
  input: InspectedInput,
  columns: readonly string[],
  limits: ChunkLimits,
): AsyncGenerator<InputSplit, void> {
  const { metadata, rows } = await readParquetMetadata(input.name, input.path);
  let size = 0;
  for (const { meta_data: column } of metadata.row_groups.flatMap((group) => group.columns)) {
    if (column && columns.includes(column.path_in_schema[0] ?? '')) size += Number(column.total_uncompressed_size);
  }
  const step = Math.max(1, Math.min(limits.rows, Math.floor((limits.bytes * rows) / Math.max(size, 1))));
  const share = (row: number): number => Math.floor((input.bytes * row) / rows);
  for (let start = 0; start < rows; start += step) {
    const end = Math.min(rows, start + step);
    yield { start, end, firstInputRow: start, rows: end - start, firstLine: 0, bytes: share(end) - share(start) };
  }
}
