/** Splits an input into parts of bounded size: byte ranges, or row ranges for Parquet. */
import type { ChunkLimits, CorpusChunk, InputSplit } from '../chunk.ts';
import type { InspectedInput } from '../inputs/inspect-input.ts';
import type { ByteFormat, CorpusOptions } from '../request.ts';
import { openInput, stateOf, type InputFile } from '../inputs/input-file.ts';
import { contentHash } from './content-hash.ts';
import { readParquetSummary } from '../parquet/parquet-reader.ts';
import { createRowScanner, unclosedQuoteError } from './row-scanner.ts';

/**
 * Splits an input into parts within the limits, lazily. The result depends only on the input, the options and the
 * limits, so splitting again gives the same parts.
 *
 * @throws SentvecError `invalid-corpus` for a broken file, a quote that is never closed, and a file that has changed
 * since it was inspected; `io-failed`
 */
export async function* splitInput(
  input: InspectedInput,
  options: CorpusOptions,
  limits: ChunkLimits,
  signal?: AbortSignal,
): AsyncGenerator<InputSplit, void> {
  const { name, path, format } = input;
  const file = await openInput(name, path, { state: input, signal });
  try {
    const splits =
      format === 'parquet'
        ? splitParquet(input, fieldsOf(options), limits, signal)
        : splitBytes(file, { ...input, format }, options.split, limits);
    for await (const split of splits) {
      await file.check();
      yield split;
    }
    await file.check();
  } finally {
    await file.close();
  }
}

/** Makes a part of an input a chunk of the corpus. */
export function toChunk(
  split: InputSplit,
  { name, path, format, ...state }: InspectedInput,
  position: Pick<CorpusChunk, 'index' | 'firstRow'>,
): CorpusChunk {
  return { ...position, input: name, path, file: stateOf(state), format, ...split };
}

/** The distinct names of all fields that are read from a row. */
export function fieldsOf({
  textField,
  idField,
  columns,
}: Pick<CorpusOptions, 'textField' | 'idField' | 'columns'>): string[] {
  return [...new Set([textField, ...(idField === null ? [] : [idField]), ...columns])];
}

/** Splits a file into byte ranges. Reads it once, block by block. */
async function* splitBytes(
  file: InputFile,
  input: InspectedInput & { readonly format: ByteFormat },
  split: CorpusOptions['split'],
  limits: ChunkLimits,
): AsyncGenerator<InputSplit, void> {
  const done: ByteSplit[] = [];
  let open: ByteSplit | undefined;
  let rows = 0;
  const begin = { position: input.start, line: input.firstLine };
  const scanner = createRowScanner(input.format, split, input.lineEnd, begin, (start, next, line) => {
    if (open && (open.rows === limits.rows || next - open.start > limits.bytes)) {
      done.push(open);
      open = undefined;
    }
    const from = open ?? { start, firstInputRow: rows, rows: 0, firstLine: line };
    open = { ...from, end: next, rows: from.rows + 1, bytes: next - from.start };
    rows += 1;
  });
  const withContent = async (piece: ByteSplit): Promise<InputSplit> => {
    // Reading these bytes again is cheap: they were just scanned, so they are in the page cache.
    const content = await contentHash(file, piece, input.columns);
    return { ...piece, content };
  };
  for await (const block of file.blocks(input.start, input.bytes)) {
    scanner.push(block);
    for (const piece of done.splice(0)) yield await withContent(piece);
  }
  const unclosed = scanner.end();
  if (unclosed !== undefined) throw unclosedQuoteError(input.name, unclosed);
  if (open) done.push(open);
  for (const piece of done) yield await withContent(piece);
}

type ByteSplit = Omit<InputSplit, 'content'>;

/**
 * Splits a Parquet file into row ranges. The byte limit holds on average, because the footer has sizes of columns, not
 * of rows.
 */
async function* splitParquet(
  input: InspectedInput,
  columns: readonly string[],
  limits: ChunkLimits,
  signal: AbortSignal | undefined,
): AsyncGenerator<InputSplit, void> {
  const { rows, hash: content, ...summary } = await readParquetSummary(input, signal);
  const size = summary.columnBytes.reduce(
    (sum, bytes, index) => (columns.includes(summary.columns[index]!) ? sum + bytes : sum),
    0,
  );
  const step = Math.max(1, Math.min(limits.rows, Math.floor((limits.bytes * rows) / Math.max(size, 1))));
  const share = (row: number): number => Math.floor((input.bytes * row) / rows);
  for (let start = 0; start < rows; start += step) {
    const end = Math.min(rows, start + step);
    yield {
      start,
      end,
      content,
      firstInputRow: start,
      rows: end - start,
      firstLine: 0,
      bytes: share(end) - share(start),
    };
  }
}
