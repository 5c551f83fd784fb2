import { SentvecError } from '@sentvec/core';
import { csvScanner } from '../rows/csv-scanner.ts';
import { parseHeader } from '../rows/decode.ts';
import { readParquetMetadata } from '../rows/parquet-file.ts';
import { delimiters } from '../rows/scanner-of.ts';
import type { CorpusOptions, InputFormat } from '../request.ts';
import { byteBlocks, readByteRange } from '../files/byte-range.ts';
import { firstBytes } from './first-bytes.ts';
import { isParquet, recogniseFormat, refuseUnreadable } from './recognise-format.ts';
import type { Source } from './source.ts';

/** A header longer than this is taken for something else than CSV. */
const longestHeader = 1 << 20;

/**
 * Finds out how an input is to be read: its format, where its rows begin, its columns.
 *
 * @throws SentvecError `invalid-corpus` for a file that is not what it is said to be, `io-failed`
 */
export async function inspectSource(
  name: string,
  file: { path: string; bytes: number },
  inputFormat: CorpusOptions['inputFormat'],
): Promise<Source> {
  const head = await firstBytes(file.path);
  refuseUnreadable(name, head);
  const format = inputFormat === 'auto' ? recogniseFormat(name, head) : inputFormat;
  if (format === 'parquet') return inspectParquet(name, file, head);
  const start = head.subarray(0, 3).equals(byteOrderMark) ? 3 : 0;
  const source: Source = { name, path: file.path, format, start, firstLine: 1, bytes: file.bytes };
  return format === 'csv' || format === 'tsv' ? skipHeader(source, format) : source;
}

/** The first bytes of some files in UTF-8. They belong to no row. */
export const byteOrderMark: Buffer = Buffer.from([0xef, 0xbb, 0xbf]);

async function inspectParquet(name: string, file: { path: string; bytes: number }, head: Buffer): Promise<Source> {
  if (!isParquet(head)) {
    throw new SentvecError('invalid-corpus', `${name} is not a Parquet file. Name its format by --input-format.`, {
      file: name,
    });
  }
  const { columns } = await readParquetMetadata(name, file.path);
  return { name, path: file.path, format: 'parquet', start: 0, firstLine: 0, bytes: file.bytes, columns };
}

async function skipHeader(source: Source, format: InputFormat & keyof typeof delimiters): Promise<Source> {
  let end: number | undefined;
  const delimiter = delimiters[format];
  const scanner = csvScanner(
    { position: source.start, line: 1 },
    (_start, next) => (end ??= next),
    delimiter.charCodeAt(0),
  );
  for await (const block of byteBlocks(
    source.path,
    source.start,
    Math.min(source.bytes, source.start + longestHeader),
  )) {
    scanner.push(block);
    if (end !== undefined) break;
  }
  scanner.end();
  if (end === undefined) throw missingHeaderError(source.name);
  const bytes = await readByteRange(source.path, source.start, end);
  const lines = bytes.reduce((count, byte) => count + (byte === 10 ? 1 : 0), 0);
  return { ...source, start: end, firstLine: 1 + lines, columns: parseHeader(source.name, bytes, delimiter) };
}

/** The error for a CSV file without a single line. */
export function missingHeaderError(file: string): SentvecError {
  const message = `${file} has no header. Its first line must name the columns.`;
  return new SentvecError('invalid-corpus', message, { file, line: 1 });
}
