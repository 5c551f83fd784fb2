import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { folderStorage } from '@sentvec/storage';
import { storageContract } from '@sentvec/testing';
import { afterAll, expect, it } from 'vitest';

const folders: string[] = [];

async function newFolder(): Promise<string> {
  folders.push(await mkdtemp(join(tmpdir(), 'sentvec-storage-')));
  return folders.at(-1)!;
}

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

storageContract('a folder', async () => folderStorage(await newFolder()));

it('hides temporary files and locks, and deletes stale ones', async () => {
  const folder = await newFolder();
  const storage = folderStorage(folder);
  await storage.write('run/file', 'x');
  const left = ['file.0f8fad5b-d9cb-469f-a165-70867728950e.tmp', '.file.lock'];
  for (const name of left) await writeFile(join(folder, 'run', name), 'half');
  const listed: string[] = [];
  for await (const { key } of storage.list('')) listed.push(key);
  expect(listed).toEqual(['run/file']);
  await storage.removeUnfinished('other/');
  expect(await readdir(join(folder, 'run'))).toHaveLength(3);
  await storage.removeUnfinished('run/');
  expect(await readdir(join(folder, 'run'))).toEqual(['file']);
});

it('takes over the lock of a dead writer', async () => {
  const folder = await newFolder();
  const storage = folderStorage(folder);
  const { version } = (await storage.write('file', 'one'))!;
  await writeFile(join(folder, '.file.lock'), '');
  const past = new Date(Date.now() - 60_000);
  await utimes(join(folder, '.file.lock'), past, past);
  expect(await storage.write('file', 'two', { replaces: version })).toMatchObject({ bytes: 3 });
  expect(await readdir(folder)).toEqual(['file']);
});

it('explains errors of the operating system', async () => {
  const folder = await newFolder();
  await writeFile(join(folder, 'file'), 'x');
  await expect(folderStorage(folder).write('file/below', 'x')).rejects.toMatchObject({ code: 'io-failed' });
});
