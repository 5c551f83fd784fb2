/** Reads and writes files by location: a local path or the URI of a file in a store. */
import type { Stats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { ioError, isSystemError } from '@sentvec/platform/node';
import { isStorageUri, joinLocation, locateFile } from '@sentvec/storage';

/** Maximum number of concurrent requests for small files. */
export const callsAtOnce = 32;

/** The location of a file in a folder, which may be local or in a store. */
export function locationIn(folder: string, name: string): string {
  return isStorageUri(folder) ? joinLocation(folder, name) : join(folder, name);
}

/** Reads a file; `undefined` if it does not exist. @throws SentvecError `io-failed` */
export async function readLocation(location: string): Promise<Uint8Array | undefined> {
  try {
    if (!isStorageUri(location)) return await readFile(location);
    const { storage, key } = locateFile(location);
    return await storage.read(key);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw ioError(error, 'Reading', location);
  }
}

/**
 * Size of a file in bytes; `undefined` if it does not exist, -1 if it is not a regular file.
 * @throws SentvecError `io-failed`
 */
export async function sizeOfLocation(location: string): Promise<number | undefined> {
  if (isStorageUri(location)) {
    const { storage, key } = locateFile(location);
    return (await storage.stat(key))?.bytes;
  }
  let stats: Stats;
  try {
    stats = await stat(location);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw ioError(error, 'Reading', location);
  }
  return stats.isFile() ? stats.size : -1;
}

/** Writes a file into a store. @throws SentvecError `io-failed` */
export async function writeStored(address: string, content: Uint8Array | string): Promise<void> {
  const { storage, key } = locateFile(address);
  await storage.write(key, content);
}

/** Whether an error means that a file does not exist. */
export function isMissing(error: unknown): boolean {
  if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return true;
  const isGone = SentvecError.is(error, 'io-failed') && error.details.missing === true;
  return isGone && error.details['code'] !== 'NoSuchBucket';
}
