/** Storage in a local folder or a mounted file system. */
import { randomUUID } from 'node:crypto';
import { constants, type BigIntStats } from 'node:fs';
import { link, open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { throwIfAborted } from '@sentvec/platform';
import { createTemporaryFile, ioError, isSystemError, makeFolder, withFileLock } from '@sentvec/platform/node';
import { changedError, checkRange, invalidKeyError, missingError } from './errors.ts';
import type { FileVersion, ListedFile, ReadOptions, Storage, StorageContent, WriteOptions } from './storage.ts';

/** Bytes per read. */
const blockBytes = 1 << 20;

/** O_NONBLOCK, so that opening a pipe does not wait for its writer. Windows has no such flag. */
const openFlags = constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NONBLOCK);

/**
 * A storage of the files in a folder and its subfolders. The first write creates the folder.
 *
 * A write is synced to disk and renamed. `replaces: null` (write only if no file exists) is atomic on any file system
 * with hard links. `replaces` with a version takes a lock, so it is atomic if all writers use sentvec.
 */
export function folderStorage(path: string): Storage {
  const root = resolve(path);
  const pathOf = (key: string): string => {
    const file = join(root, key);
    if (key.includes('\0')) throw invalidKeyError(file, 'it contains a NUL character');
    if (key === '' || key.split('/').some((name) => name === '' || name === '.' || name === '..'))
      throw invalidKeyError(`${root}/${key}`, 'it contains an empty name, "." or ".."');
    return file;
  };
  return {
    specificationVersion: 1,
    uri: root,
    stat: async (key, { signal } = {}) => {
      throwIfAborted(signal);
      return versionAt(pathOf(key));
    },
    read: async (key, options) => {
      const blocks: Uint8Array[] = [];
      for await (const block of streamFile(pathOf(key), options)) blocks.push(block);
      return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks);
    },
    stream: (key, options) => streamFile(pathOf(key), options),
    write: async (key, content, options) => writeFile(pathOf(key), content, options),
    list: (prefix, options) => listFolder(root, prefix, options?.signal),
    remove: async (key, { signal } = {}) => {
      throwIfAborted(signal);
      const file = pathOf(key);
      await rm(file).catch((error: unknown) => {
        if (!isAbsent(error)) throw ioError(error, 'Removing', file);
      });
    },
    removeUnfinished: async (prefix, options) => {
      for await (const { key } of listFolder(root, prefix, options?.signal, true)) {
        if (unfinished.test(basename(key))) await rm(join(root, key), { force: true });
      }
    },
  };
}

function versionOf({ size, mtimeNs, ino }: BigIntStats): FileVersion {
  return { bytes: Number(size), version: `${size}-${mtimeNs}-${ino}` };
}

async function versionAt(file: string): Promise<FileVersion | undefined> {
  try {
    const stats = await stat(file, { bigint: true });
    return stats.isFile() ? versionOf(stats) : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw ioError(error, 'Reading', file);
  }
}

function isAbsent(error: unknown): boolean {
  return isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR');
}

async function* streamFile(
  file: string,
  { start = 0, end, version, signal }: ReadOptions = {},
): AsyncGenerator<Uint8Array> {
  checkRange(file, start, end);
  throwIfAborted(signal);
  const handle = await openFile(file);
  try {
    const now = versionOf(await handle.stat({ bigint: true }));
    const last = end ?? now.bytes;
    if ((version !== undefined && version !== now.version) || last > now.bytes || start > now.bytes)
      throw changedError(file);
    for (let position = start; position < last;) {
      throwIfAborted(signal);
      const length = Math.min(blockBytes, last - position);
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(length), 0, length, position);
      if (bytesRead === 0) throw changedError(file);
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    if (versionOf(await handle.stat({ bigint: true })).version !== now.version) throw changedError(file);
  } catch (error) {
    throw ioError(error, 'Reading', file);
  } finally {
    await handle.close();
  }
}

async function openFile(file: string): Promise<FileHandle> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, openFlags);
    if ((await handle.stat()).isFile()) return handle;
  } catch (error) {
    if (!isAbsent(error)) throw ioError(error, 'Reading', file);
  }
  await handle?.close();
  throw missingError(file);
}

async function writeFile(
  file: string,
  content: StorageContent,
  { replaces, signal }: WriteOptions = {},
): Promise<FileVersion | undefined> {
  throwIfAborted(signal);
  try {
    await makeFolder(dirname(file));
  } catch (error) {
    throw ioError(error, 'Writing', file);
  }
  if (replaces === undefined) return writeAtomically(file, content, signal);
  if (replaces === null) return writeIfAbsent(file, content, signal);
  const lock = join(dirname(file), `.${basename(file)}${lockEnding}`);
  const replace = async (): Promise<FileVersion | undefined> =>
    (await versionAt(file))?.version === replaces ? writeAtomically(file, content, signal) : undefined;
  return withFileLock(lock, replace, signal);
}

async function writeAtomically(
  file: string,
  content: StorageContent,
  signal: AbortSignal | undefined,
): Promise<FileVersion | undefined> {
  const temporary = await createTemporaryFile(file);
  try {
    for await (const block of blocksOf(content)) {
      throwIfAborted(signal);
      await temporary.write(block);
    }
    await temporary.commit();
  } finally {
    await temporary.abort();
  }
  return versionAt(file);
}

/** Writes a file only if it does not exist. Creating a hard link fails atomically if the target exists. */
async function writeIfAbsent(
  file: string,
  content: StorageContent,
  signal: AbortSignal | undefined,
): Promise<FileVersion | undefined> {
  if (await versionAt(file)) return undefined;
  const written = join(dirname(file), `${basename(file).slice(0, 64)}.${randomUUID()}.tmp`);
  try {
    await writeAtomically(written, content, signal);
    await link(written, file);
    return await versionAt(file);
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return undefined;
    throw ioError(error, 'Writing', file);
  } finally {
    await rm(written, { force: true }).catch(() => {}); // Ignored, so that the earlier error is thrown.
  }
}

/** Yields the blocks of a content. */
export async function* blocksOf(content: StorageContent): AsyncGenerator<Uint8Array> {
  if (typeof content === 'string') yield Buffer.from(content);
  else if (content instanceof Uint8Array) yield content;
  else yield* content;
}

const lockEnding = '.lock';
/** Matches the names of temporary files and locks. */
const unfinished = /\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$|^\..+\.lock$/u;

async function* listFolder(
  root: string,
  prefix: string,
  signal: AbortSignal | undefined,
  unfinishedToo = false,
): AsyncGenerator<ListedFile> {
  const cut = prefix.lastIndexOf('/') + 1;
  const begin = prefix.slice(0, cut);
  if (
    begin
      .split('/')
      .some((name, index, names) => (name === '' && index < names.length - 1) || name === '.' || name === '..')
  )
    return;
  for await (const file of listBelow(root, begin, prefix.slice(cut), signal)) {
    if (unfinishedToo || !unfinished.test(basename(file.key))) yield file;
  }
}

/** Lists files in the order of their keys: folders are sorted by name with a trailing slash. */
async function* listBelow(
  root: string,
  folder: string,
  start: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ListedFile> {
  throwIfAborted(signal);
  const path = join(root, folder);
  const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
    if (isAbsent(error)) return [];
    throw ioError(error, 'Reading', path);
  });
  const names = entries
    .filter(({ name }) => name.startsWith(start))
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
    .map((name) => ({ name, bytes: Buffer.from(name) }))
    .sort((a, b) => a.bytes.compare(b.bytes));
  for (const { name } of names) {
    const key = folder + name;
    if (name.endsWith('/')) {
      yield* listBelow(root, key, '', signal);
      continue;
    }
    const state = await versionAt(join(root, key));
    if (state) yield { key, ...state };
  }
}
