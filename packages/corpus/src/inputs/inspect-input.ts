/** Finds out how an input is to be read: its format, where its rows begin, its columns. */
import { SentvecError } from '@sentvec/core';
import type { CorpusOptions, InputFormat } from '../request.ts';
import { parseHeader } from '../rows/decode.ts';
import { readParquetMetadata } from '../rows/parquet.ts';
import { createRowScanner, delimiters } from '../rows/row-scanner.ts';
import { byteOrderMark, isParquet, recogniseFormat, refuseUnreadable } from './input-format.ts';
import { InputFile, type FileState } from './input-file.ts';

/** An input that can be read from any position. JSON. */
export interface InspectedInput extends FileState {
  /** As the user named it. */
  readonly name: string;
  /** The file to read: the input itself, or its unpacked copy. */
  readonly path: string;
  readonly format: InputFormat;
  /** Where the rows begin: behind a byte order mark, behind the header of CSV. 0 for Parquet. */
  readonly start: number;
  /** The line at `start`, from 1. 0 for Parquet. */
  readonly firstLine: number;
  /** Columns in order, where the format has them in one place: CSV and Parquet. */
  readonly columns?: readonly string[] | undefined;
}

/** The most bytes of a header of CSV. */
const maxHeaderBytes = 1 << 20;

/** First bytes by which a format is recognized. */
const headBytes = 65_536;

/**
 * Looks at the beginning of an input.
 *
 * @param state what the file was when it was found; it must be that still
 * @throws SentvecError `invalid-corpus` for a file that is not what it is said to be or has changed, `io-failed`
 */
export async function inspectInput(
  name: string,
  path: string,
  state: FileState,
  inputFormat: CorpusOptions['inputFormat'],
): Promise<InspectedInput> {
  const file = await InputFile.open(name, path, state);
  try {
    const { bytes, modified, changed, inode } = state;
    const layout = await inspectFile(file, name, bytes, inputFormat);
    return { name, path, bytes, modified, changed, inode, ...layout };
  } finally {
    await file.close();
  }
}

/** Where the rows of a file begin and what columns they have. */
export type InputLayout = Pick<InspectedInput, 'format' | 'start' | 'firstLine' | 'columns'>;

/** Like {@link inspectInput}, of a file that is open. */
export async function inspectFile(
  file: InputFile,
  name: string,
  bytes: number,
  inputFormat: CorpusOptions['inputFormat'],
): Promise<InputLayout> {
  const head = await file.read(0, Math.min(bytes, headBytes));
  refuseUnreadable(name, head);
  const format = inputFormat === 'auto' ? recogniseFormat(name, head) : inputFormat;
  if (format === 'parquet') {
    if (!isParquet(head)) throw notParquetError(name);
    const { columns } = await readParquetMetadata(name, file.path);
    return { format, start: 0, firstLine: 0, columns };
  }
  const start = head.subarray(0, 3).equals(byteOrderMark) ? 3 : 0;
  return format === 'csv' || format === 'tsv'
    ? skipHeader(file, name, { format, start, bytes })
    : { format, start, firstLine: 1 };
}

async function skipHeader(
  file: InputFile,
  name: string,
  { format, start, bytes }: { readonly format: 'csv' | 'tsv'; readonly start: number; readonly bytes: number },
): Promise<InputLayout> {
  let end: number | undefined;
  const scanner = createRowScanner(format, 'line', { position: start, line: 1 }, (_start, next) => (end ??= next));
  for await (const block of file.blocks(start, Math.min(bytes, start + maxHeaderBytes))) {
    scanner.push(block);
    if (end !== undefined) break;
  }
  scanner.end();
  if (end === undefined) throw missingHeaderError(name);
  const header = await file.read(start, end);
  const lines = header.reduce((count, byte) => count + (byte === 10 ? 1 : 0), 0);
  return { format, start: end, firstLine: 1 + lines, columns: parseHeader(name, header, delimiters[format]) };
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
