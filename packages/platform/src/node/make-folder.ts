import { access, mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isSystemError } from './system-errors.ts';

/**
 * Makes a folder with the folders above it, unless it is there. Where that fails, the error has the true error number:
 * `mkdir` of Node reports a read-only file system as ENOENT when it makes several folders at once.
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    await mkdir(await topmostMissing(resolve(path)));
    await mkdir(path, { recursive: true });
  }
}

async function topmostMissing(path: string): Promise<string> {
  const parent = dirname(path);
  const isThere =
    parent === path ||
    (await access(parent).then(
      () => true,
      () => false,
    ));
  return isThere ? path : topmostMissing(parent);
}
