import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { checkHash } from './hashes.ts';

/** Why the files of `folder` are not those with the given hashes, or `undefined` when they are. */
export async function findDifference(
  folder: string,
  hashes: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  for (const [path, expected] of Object.entries(hashes)) {
    let bytes: Uint8Array;
    try {
      bytes = await readFile(join(folder, path));
    } catch {
      return `${join(folder, path)} cannot be read`;
    }
    const difference = checkHash(bytes, expected);
    if (difference !== undefined) return `${join(folder, path)} is not as converted: ${difference}`;
  }
  return undefined;
}

/**
 * Puts a folder with `files` in place at once: it is written beside its place under another name, then renamed. In a
 * folder that is there already, each file is replaced. Processes that do this at the same time do not disturb each
 * other.
 * @throws SentvecError `io-failed`, `aborted`
 */
export async function placeFolder(
  folder: string,
  files: ReadonlyMap<string, Uint8Array>,
  signal?: AbortSignal,
): Promise<void> {
  const temporary = `${folder}.${process.pid}.${randomUUID()}.tmp`;
  try {
    for (const [path, bytes] of files) {
      throwIfAborted(signal);
      await mkdir(dirname(join(temporary, path)), { recursive: true });
      await writeFile(join(temporary, path), bytes, { flush: true });
    }
    await moveInPlace(temporary, folder, files.keys());
  } catch (cause) {
    if (SentvecError.is(cause)) throw cause;
    const message = `The default model cannot be written to ${folder}: ${(cause as Error).message}. Free some space, or name another folder in SENTVEC_CACHE.`;
    throw new SentvecError('io-failed', message, { file: folder }, { cause });
  } finally {
    await rm(temporary, { recursive: true, force: true }).catch(() => {}); // What went wrong before is what matters.
  }
}

async function moveInPlace(temporary: string, folder: string, paths: Iterable<string>): Promise<void> {
  try {
    return await rename(temporary, folder);
  } catch (cause) {
    if (!['ENOTEMPTY', 'EEXIST', 'EPERM'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
  }
  // One is there: damaged, or of a process that was quicker and may be read already. File by file, none is missing for
  // a moment.
  for (const path of paths) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await rename(join(temporary, path), join(folder, path));
  }
}
