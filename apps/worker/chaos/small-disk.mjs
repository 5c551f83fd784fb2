// Mounts a tmpfs of a few megabytes, which a test can fill. The user needs the privilege to mount.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

/** Mounts a tmpfs at `path`. Returns whether that worked; otherwise `path` is a plain folder. */
export function mountSmallDisk(path, megabytes) {
  mkdirSync(path);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export function unmount(path) {
  execFileSync('umount', ['-l', path]);
}

/** Fills the disk. Returns a function that frees the space again. */
export async function fill(path) {
  const ballast = join(path, 'ballast');
  const file = await open(ballast, 'w');
  try {
    for (;;) await file.write(Buffer.alloc(65_536));
  } catch (error) {
    if (error.code !== 'ENOSPC') throw error;
  } finally {
    await file.close();
  }
  return () => rmSync(ballast);
}
