/** Inspects the beginning of an input: its format, the offset of its first row, and its columns. */
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

/** An input that can be read from any position. It is stored as JSON. */
export interface InspectedInput extends FileState {
  /** The name that the user gave. */
  readonly name: string;
  /** The file to read: the input itself or its unpacked copy. */
  readonly path: string;
  readonly format: InputFormat;
  /** Byte offset of the first row, after a byte order mark and the header of CSV. 0 for Parquet. */
  readonly start: number;
  /** Line number at `start`, from 1. 0 for Parquet. */
  readonly firstLine: number;
  /** The line terminator. Not used for Parquet. */
  readonly lineEnd: LineEnd;
  /** Column names in order, for CSV and Parquet. */
  readonly columns?: readonly string[] | undefined;
}

/** Inputs that are unpacked, inspected and planned at once. */
export const inputsAtOnce = 4;

/** How many first bytes the format is detected from. */
export const headBytes: number = 65_536;

/**
 * Inspects the beginning of an input.
 *
 * @param state the state of the file when it was found, which it must still have
 * @throws SentvecError `invalid-corpus` for a file that has changed or is not of the named format; `io-failed`
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

/** The layout of a file: its format, the position of its first row, and its columns. */
export type InputLayout = Pick<InspectedInput, 'format' | 'start' | 'firstLine' | 'lineEnd' | 'columns'>;

/** Like {@link inspectInput}, for an open file. */
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
  const message = `${file} is not a Parquet file. Set its format with \`inputFormat\`.`;
  return new SentvecError('invalid-corpus', message, { file });
}

/** The error for an empty CSV file. */
export function missingHeaderError(file: string): SentvecError {
  const message = `${file} has no header. Its first line must name the columns.`;
  return new SentvecError('invalid-corpus', message, { file, line: 1 });
}
