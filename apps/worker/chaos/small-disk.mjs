// A disk of a few megabytes, which can be filled. Needs the right to mount.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

/** @returns whether this user on this machine may mount the disk at `path`; it is a plain folder otherwise */
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

/** Takes all the room that there is. @returns gives it back */
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
