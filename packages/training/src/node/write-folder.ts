import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SentvecError } from '@sentvec/core';

/** @throws SentvecError `invalid-output` when something with content is at `path` */
export async function mustBeFree(path: string, remedy = 'Choose another folder, or remove it first.'): Promise<void> {
  const entries = await readdir(path).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOTDIR' ? ['a file'] : [],
  );
  if (entries.length > 0)
    throw new SentvecError('invalid-output', `${path} is there already. ${remedy}`, { file: path });
}

/**
 * Makes a folder with these files, all or nothing: it is written beside its place under another name, flushed, then
 * renamed.
 * @throws SentvecError `io-failed`
 */
export async function writeFolder(folder: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
  const draft = `${folder}.${randomUUID()}.tmp`;
  try {
    for (const [path, content] of Object.entries(files)) await writeFlushed(join(draft, path), content);
    await rmdir(folder).catch(() => undefined); // An empty folder in its place.
    await rename(draft, folder);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const remedy =
      code === 'ENOSPC'
        ? 'The disk is full: free some space, then go on from the last checkpoint with --resume.'
        : message;
    throw new SentvecError(
      'io-failed',
      `${folder} could not be written. ${remedy} Nothing was left there.`,
      { file: folder },
      { cause },
    );
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/**
 * Puts a file in the place of another, all or nothing: the earlier one stays until the new one is flushed. (The package
 * write-file-atomic does not notice when a full disk takes only a part of the bytes, and puts that part in place.)
 */
export async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  const draft = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFlushed(draft, content);
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
}

async function writeFlushed(path: string, content: Uint8Array | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
