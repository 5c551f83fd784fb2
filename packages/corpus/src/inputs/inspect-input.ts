/** Finds out how an input is to be read: its format, where its rows begin, its columns. */
import { SentvecError } from '@sentvec/core';
import type { CorpusOptions, InputFormat } from '../request.ts';
import { byteBlocks, readByteRange } from '../rows/byte-range.ts';
import { parseHeader } from '../rows/decode.ts';
import { readParquetMetadata } from '../rows/parquet.ts';
import { createRowScanner, delimiters } from '../rows/row-scanner.ts';
import { byteOrderMark, isParquet, readFirstBytes, recogniseFormat, refuseUnreadable } from './input-format.ts';

/** An input that can be read from any position. JSON. */
export interface InspectedInput {
  /** As the user named it. */
  readonly name: string;
  /** The file to read: the input itself, or its unpacked copy. */
  readonly path: string;
  readonly format: InputFormat;
  /** Where the rows begin: behind a byte order mark, behind the header of CSV. 0 for Parquet. */
  readonly start: number;
  /** The line at `start`, from 1. 0 for Parquet. */
  readonly firstLine: number;
  /** Size of the file at `path`. */
  readonly bytes: number;
  /** Columns in order, where the format has them in one place: CSV and Parquet. */
  readonly columns?: readonly string[] | undefined;
}

/** The most bytes of a header of CSV. What is longer is taken for another format. */
const maxHeaderBytes = 1 << 20;

/**
 * Looks at the beginning of an input.
 *
 * @throws SentvecError `invalid-corpus` for a file that is not what it is said to be, `io-failed`
 */
export async function inspectInput(
  name: string,
  file: { readonly path: string; readonly bytes: number },
  inputFormat: CorpusOptions['inputFormat'],
): Promise<InspectedInput> {
  const { path, bytes } = file;
  const head = await readFirstBytes(path);
  refuseUnreadable(name, head);
  const format = inputFormat === 'auto' ? recogniseFormat(name, head) : inputFormat;
  if (format === 'parquet') {
    if (!isParquet(head)) throw notParquetError(name);
    const { columns } = await readParquetMetadata(name, path);
    return { name, path, format, start: 0, firstLine: 0, bytes, columns };
  }
  const start = head.subarray(0, 3).equals(byteOrderMark) ? 3 : 0;
  const input: InspectedInput = { name, path, format, start, firstLine: 1, bytes };
  return format === 'csv' || format === 'tsv' ? skipHeader(input, format) : input;
}

async function skipHeader(input: InspectedInput, format: 'csv' | 'tsv'): Promise<InspectedInput> {
  const { name, path, start, bytes: size } = input;
  let end: number | undefined;
  const scanner = createRowScanner(format, 'line', { position: start, line: 1 }, (_start, next) => (end ??= next));
  for await (const block of byteBlocks(path, start, Math.min(size, start + maxHeaderBytes))) {
    scanner.push(block);
    if (end !== undefined) break;
  }
  scanner.end();
  if (end === undefined) throw missingHeaderError(name);
  const header = await readByteRange(path, start, end);
  const lines = header.reduce((count, byte) => count + (byte === 10 ? 1 : 0), 0);
  return { ...input, start: end, firstLine: 1 + lines, columns: parseHeader(name, header, delimiters[format]) };
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
