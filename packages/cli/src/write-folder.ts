import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { SentvecError, throwIfAborted } from '@sentvec/core';

/** A file on its way: its path in the folder, and its bytes (or pieces of them), made when its turn comes. */
export type FileToWrite = readonly [path: string, bytes: () => Promise<Uint8Array | readonly Uint8Array[]>];

/**
 * Makes a new folder with these files, all or nothing: it is written beside its place under another name, then renamed.
 * @throws SentvecError `invalid-output` when the folder exists and is not empty, `io-failed`, `aborted`
 */
export async function writeFolder(folder: string, files: readonly FileToWrite[], signal: AbortSignal): Promise<void> {
  await mustBeFree(folder);
  const temporary = `${resolve(folder)}.${randomUUID()}.tmp`;
  try {
    for (const [path, bytes] of files) {
      throwIfAborted(signal);
      await mkdir(dirname(join(temporary, path)), { recursive: true });
      await writeFile(join(temporary, path), await bytes(), { flush: true });
    }
    await rmdir(folder).catch(() => {}); // An empty folder in its place.
    await rename(temporary, folder);
  } catch (cause) {
    if (SentvecError.is(cause) || !(cause instanceof Error && 'syscall' in cause)) throw cause;
    throw new SentvecError(
      'io-failed',
      `${folder} cannot be written: ${cause.message}. Nothing was left there.`,
      { file: folder },
      { cause },
    );
  } finally {
    await rm(temporary, { recursive: true, force: true }).catch(() => {}); // What went wrong before is what matters.
  }
}

/** @throws SentvecError `invalid-output` when a new folder cannot be made at this path */
export async function mustBeFree(folder: string): Promise<void> {
  const entries = await readdir(folder).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOTDIR' ? ['a file'] : [],
  );
  if (entries.length === 0) return;
  throw new SentvecError('invalid-output', `${folder} is there already. Choose another folder, or remove it first.`, {
    file: folder,
  });
}
