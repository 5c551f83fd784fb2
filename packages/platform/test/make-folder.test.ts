import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '@sentvec/platform/node';
import { afterEach, beforeEach, expect, it } from 'vitest';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sentvec-folder-'));
});

afterEach(() => rm(directory, { recursive: true }));

it('makes a folder with those above it, and leaves one that is there', async () => {
  const path = join(directory, 'a/b/c');
  await makeFolder(path);
  await makeFolder(path);
  expect((await stat(path)).isDirectory()).toBe(true);
});

it('says that a file is in the way', async () => {
  await writeFile(join(directory, 'file'), '');
  await expect(makeFolder(join(directory, 'file/a/b'))).rejects.toMatchObject({ code: 'ENOTDIR' });
});

it('says that the file system is read-only, and not that the folder is missing', async (context) => {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,ro', 'tmpfs', directory], { stdio: 'ignore' });
  } catch {
    context.skip(true, 'this user or this machine cannot mount a file system');
  }
  try {
    await expect(makeFolder(join(directory, 'a'))).rejects.toMatchObject({ code: 'EROFS' });
    await expect(makeFolder(join(directory, 'a/b/c'))).rejects.toMatchObject({ code: 'EROFS' });
  } finally {
    execFileSync('umount', [directory]);
  }
});
