/** Reads Parquet files: the footer, and rows as records of JSON values. */
import { SentvecError } from '@sentvec/core';
import { sha256 } from '@sentvec/platform';
import { ioError, isSystemError } from '@sentvec/platform/node';
import type { FileMetaData } from 'hyparquet';
import type { InputFile } from '../inputs/input-file.ts';

/** What the footer of a Parquet file says. */
export interface ParquetSummary {
  readonly metadata: FileMetaData;
  readonly rows: number;
  readonly columns: readonly string[];
}

/** @throws SentvecError `invalid-corpus` for a broken file, `io-failed` */
export async function readParquetMetadata(name: string, path: string): Promise<ParquetSummary> {
  return readingParquet(name, async () => {
    const { asyncBufferFromFile, parquetMetadataAsync, parquetSchema } = await import('hyparquet');
    const metadata = await parquetMetadataAsync(await asyncBufferFromFile(path));
    const columns = parquetSchema(metadata).children.map((child) => child.element.name);
    return { metadata, rows: Number(metadata.num_rows), columns };
  });
}

/**
 * Rows of a Parquet file, of some columns, as JSON values: whole numbers as numbers while those are exact, else as
 * strings of digits; times in ISO 8601; bytes in base64.
 *
 * @throws SentvecError `invalid-corpus` for a broken file, `io-failed`
 */
export async function readParquetRows(
  name: string,
  path: string,
  range: { readonly start: number; readonly end: number; readonly columns: readonly string[] },
): Promise<Record<string, unknown>[]> {
  const { start: rowStart, end: rowEnd, columns } = range;
  return readingParquet(name, async () => {
    const { asyncBufferFromFile, parquetReadObjects } = await import('hyparquet');
    const { compressors } = await import('hyparquet-compressors');
    const file = await asyncBufferFromFile(path);
    const options = { file, rowStart, rowEnd, columns: [...columns], compressors, useOffsetIndex: true };
    return (await parquetReadObjects(options)).map((record) => toJsonValue(record) as Record<string, unknown>);
  });
}

/** A hash of the footer, which says where everything is and how large. A file that is written anew has another one. */
export async function hashFooter(file: InputFile, bytes: number): Promise<string> {
  const end = await file.read(Math.max(0, bytes - 8), bytes);
  const length = end.byteLength === 8 ? end.readUInt32LE(0) : 0;
  return sha256(await file.read(Math.max(0, bytes - 8 - length), bytes));
}

async function readingParquet<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (isSystemError(cause)) throw ioError(cause, 'Reading', name);
    const message = `${name} is a broken Parquet file: ${cause instanceof Error ? cause.message : String(cause)}. Fetch or write it again.`;
    throw new SentvecError('invalid-corpus', message, { file: name }, { cause });
  }
}

function toJsonValue(value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value !== 'object') return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return Array.from(value as unknown as ArrayLike<unknown>, toJsonValue);
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, toJsonValue(entry)]));
}
