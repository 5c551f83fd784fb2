import { SentvecError } from '@sentvec/core';
import type { FileMetaData } from 'hyparquet';
import { ioFailed, isSystemError } from '../files/io-error.ts';

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

/** Rows of a Parquet file, of some columns. @throws SentvecError `invalid-corpus` for a broken file, `io-failed` */
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
    return parquetReadObjects({ file, rowStart, rowEnd, columns: [...columns], compressors, useOffsetIndex: true });
  });
}

async function readingParquet<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (isSystemError(cause)) throw ioFailed(cause, 'Reading', name);
    const message = `${name} is a broken Parquet file: ${cause instanceof Error ? cause.message : String(cause)}. Fetch or write it again.`;
    throw new SentvecError('invalid-corpus', message, { file: name }, { cause });
  }
}
