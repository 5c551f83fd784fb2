import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SentvecError } from '@sentvec/core';

/** @throws SentvecError `invalid-output` when something with content is at `path` */
export async function mustBeFree(path: string, remedy = 'Choose another folder, or remove it first.'): Promise<void> {
  const entries = await readdir(path).catch((error: NodeJS.ErrnoException) => (error.code === 'ENOTDIR' ? ['a file'] : []));
  if (entries.length > 0) throw new SentvecError('invalid-output', `${path} is there already. ${remedy}`, { file: path });
}

/**
 * Makes a folder with these files, all or nothing: it is written beside its place under another name, flushed, then renamed.
 * @throws SentvecError `io-failed`
 */
export async function writeFolder(folder: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
  const draft = `${folder}.${randomUUID()}.tmp`;
  try {
    for (const [path, content] of Object.entries(files)) await writeFlushed(join(draft, path), content);
    await rmdir(folder).catch(() => undefined); // An empty folder in its place.
    await rename(draft, folder);
  } catch (cause) {
    throw new SentvecError(
      'io-failed',
      `${folder} could not be written: ${(cause as Error).message}. Nothing was left there.`,
      { file: folder },
      { cause },
    );
  } finally {
    await rm(draft, { recursive: true, force: true });
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
