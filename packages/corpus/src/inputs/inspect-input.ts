/** Finds out how an input is to be read: its format, where its rows begin, its columns. */
import { SentvecError } from '@sentvec/core';
import type { CorpusOptions, InputFormat } from '../request.ts';
import { parseHeader } from '../rows/decode.ts';
import { readParquetSummary } from '../parquet/parquet-reader.ts';
import { maxRowBytes } from '../rows/content-hash.ts';
import {
  createRowScanner,
  delimiters,
  recogniseLineEnd,
  withoutTerminator,
  type LineEnd,
} from '../rows/row-scanner.ts';
import { byteOrderMark, isParquet, recogniseFormat, refuseUnreadable } from './input-format.ts';
import { openInput, stateOf, type FileState, type InputFile } from './input-file.ts';

/** An input that can be read from any position. Plain data: it is stored as JSON. */
export interface InspectedInput extends FileState {
  /** As the user named it. */
  readonly name: string;
  /** The file to read: the input itself, or its unpacked copy. */
  readonly path: string;
  readonly format: InputFormat;
  /** Where the rows begin: after a byte order mark, after the header of CSV. 0 for Parquet. */
  readonly start: number;
  /** The line at `start`, from 1. 0 for Parquet. */
  readonly firstLine: number;
  /** What ends a line. Means nothing for Parquet. */
  readonly lineEnd: LineEnd;
  /** Columns in order, where the format has them in one place: CSV and Parquet. */
  readonly columns?: readonly string[] | undefined;
}

/** First bytes by which a format is recognized. */
export const headBytes: number = 65_536;

/**
 * Looks at the beginning of an input.
 *
 * @param state the size, times and inode of the file when it was found; they must not have changed
 * @throws SentvecError `invalid-corpus` for a file that is not what it is said to be or has changed, `io-failed`
 */
export async function inspectInput(
  name: string,
  path: string,
  state: FileState,
  inputFormat: CorpusOptions['inputFormat'],
  signal?: AbortSignal,
): Promise<InspectedInput> {
  const file = await openInput(name, path, { state, signal });
  try {
    const layout = await inspectFile(file, name, state.bytes, inputFormat, signal);
    return { name, path, ...stateOf(state), ...layout };
  } finally {
    await file.close();
  }
}

/** Where the rows of a file begin and what columns they have. */
export type InputLayout = Pick<InspectedInput, 'format' | 'start' | 'firstLine' | 'lineEnd' | 'columns'>;

/** Like {@link inspectInput}, of a file that is open. */
export async function inspectFile(
  file: InputFile,
  name: string,
  bytes: number,
  inputFormat: CorpusOptions['inputFormat'],
  signal?: AbortSignal,
): Promise<InputLayout> {
  const head = await file.read(0, Math.min(bytes, headBytes));
  refuseUnreadable(name, head);
  const format = inputFormat === 'auto' ? recogniseFormat(name, head) : inputFormat;
  if (format === 'parquet') {
    if (!isParquet(head)) throw notParquetError(name);
    const { columns } = await readParquetSummary({ name, path: file.path }, signal);
    return { format, start: 0, firstLine: 0, lineEnd: 'lf', columns };
  }
  const start = head.subarray(0, 3).equals(byteOrderMark) ? 3 : 0;
  const lineEnd = recogniseLineEnd(format, head.subarray(start));
  return format === 'csv' || format === 'tsv'
    ? skipHeader(file, name, { format, lineEnd, start, bytes })
    : { format, start, firstLine: 1, lineEnd };
}

async function skipHeader(
  file: InputFile,
  name: string,
  {
    format,
    lineEnd,
    start,
    bytes,
  }: Pick<InspectedInput, 'lineEnd' | 'start' | 'bytes'> & {
    readonly format: 'csv' | 'tsv';
  },
): Promise<InputLayout> {
  let end: number | undefined;
  let lastLine = 1;
  const limit = Math.min(bytes, start + maxRowBytes);
  const begin = { position: start, line: 1 };
  const scanner = createRowScanner(format, 'line', lineEnd, begin, (_start, next) => (end ??= next));
  for await (const block of file.blocks(start, limit)) {
    scanner.push(block);
    if (end !== undefined) break;
  }
  if (end === undefined && limit < bytes) throw longHeaderError(name);
  scanner.end();
  if (end === undefined) throw missingHeaderError(name);
  const header = await file.read(start, end);
  const counter = createRowScanner('text', 'line', lineEnd, begin, (_start, _next, line) => (lastLine = line));
  counter.push(header);
  counter.end();
  const columns = parseHeader(name, withoutTerminator(header), delimiters[format]);
  return { format, start: end, firstLine: 1 + lastLine, lineEnd, columns };
}

function longHeaderError(file: string): SentvecError {
  const message = `${file}: the header has more than ${maxRowBytes} bytes. Is the file in the format that its name says?`;
  return new SentvecError('invalid-corpus', message, { file, line: 1 });
}

function notParquetError(file: string): SentvecError {
  const message = `${file} is not a Parquet file. Name its format with \`inputFormat\`.`;
  return new SentvecError('invalid-corpus', message, { file });
}

/** The error for a CSV file without a single line. */
export function missingHeaderError(file: string): SentvecError {
  const message = `${file} has no header. Its first line must name the columns.`;
  return new SentvecError('invalid-corpus', message, { file, line: 1 });
}
