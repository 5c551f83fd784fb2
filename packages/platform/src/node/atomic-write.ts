/*
 * Files and folders that appear whole or not at all, also through a loss of power: what is written lies under a
 * temporary name, is synced to the disk, gets its name, and then its folder is synced. Every package writes this way.
 */
import { randomUUID } from 'node:crypto';
import { lstat, open, readdir, realpath, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { throwIfAborted } from '../abort.ts';
import { SentvecError } from '../errors.ts';
import { makeFolder } from './make-folder.ts';
import { guardIo, ioError, isSystemError } from './system-errors.ts';

/** A file that is not there until {@link TemporaryFile.commit}. */
export interface TemporaryFile {
  /** Appends bytes. When that fails, the temporary file is removed. @throws SentvecError `io-failed` */
  write(bytes: Uint8Array): Promise<void>;
  /** Syncs the file, gives it its name, in place of an earlier file, and syncs the folder. @throws SentvecError `io-failed` */
  commit(): Promise<void>;
  /** Removes what was written. Does nothing after `commit`. */
  abort(): Promise<void>;
}

/** Options of {@link createTemporaryFile} and {@link writeFileAtomically}. */
export interface WriteOptions {
  /** Where the temporary file lies, on the same file system. @default the folder of the file */
  readonly temporaryFolder?: string | undefined;
  /** What is written, for messages. @default "Writing" */
  readonly doing?: string | undefined;
  /** A sentence for the message of a failure: what it leaves behind, what else to do. */
  readonly advice?: string | undefined;
}

/**
 * Opens a file that appears at `path` whole or not at all. Its folder must be there.
 * @throws SentvecError `invalid-output` when something other than a file is there; `io-failed`
 */
export async function createTemporaryFile(path: string, options: WriteOptions = {}): Promise<TemporaryFile> {
  const { temporaryFolder = dirname(path), doing = 'Writing', advice } = options;
  const temporary = join(temporaryFolder, temporaryName(path));
  await mustBeReplaceable(path);
  const handle = await guardIo(doing, path, () => open(temporary, 'wx'), advice);
  const abort = async (): Promise<void> => {
    await handle.close().catch(() => {});
    await rm(temporary, { force: true }).catch(() => {}); // What went wrong before is what matters.
  };
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      await abort();
      throw ioError(error, doing, path, advice);
    }
  };
  return {
    write: (bytes) => attempt(() => handle.writeFile(bytes)),
    commit: () =>
      attempt(async () => {
        await handle.sync();
        await handle.close();
        await moveIntoPlace(temporary, path);
      }),
    abort,
  };
}

/**
 * Writes a file that appears whole or not at all, in place of an earlier one. Its folder must be there.
 * @throws SentvecError `invalid-output` when something other than a file is there; `io-failed`
 */
export async function writeFileAtomically(
  path: string,
  content: Uint8Array | string,
  options?: WriteOptions,
): Promise<void> {
  const file = await createTemporaryFile(path, options);
  await file.write(typeof content === 'string' ? Buffer.from(content) : content);
  await file.commit();
}

/** Gives a file or folder that was written and synced its name, and syncs the folder that it is in. */
export async function moveIntoPlace(temporary: string, path: string): Promise<void> {
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** What a file of a folder holds: text, bytes, or its bytes in several pieces. */
export type FileContent = string | Uint8Array | readonly Uint8Array[];

/** A file of a new folder: its path with `/`, and its content, or a function that makes it when it is written. */
export type FolderFile = readonly [path: string, content: FileContent | (() => FileContent | Promise<FileContent>)];

/** Options of {@link writeFolderAtomically}. */
export interface FolderOptions {
  /**
   * Whether a folder that is not empty may be written into: files of the same names are replaced, others are kept.
   * @default false
   */
  readonly replace?: boolean | undefined;
  /** What is written, for messages. @default "Writing" */
  readonly doing?: string | undefined;
  /** A sentence for the message of a failure. @default "Nothing was left there." */
  readonly advice?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a folder with these files, all or nothing: it is written beside its place under another name, then renamed.
 * With `replace`, several processes may write the same folder at once: no file of it is ever missing.
 * @throws SentvecError `invalid-output` when the folder is there and not empty, `io-failed`, `aborted`
 */
export async function writeFolderAtomically(
  folder: string,
  files: Iterable<FolderFile> | AsyncIterable<FolderFile>,
  { replace = false, doing = 'Writing', advice = 'Nothing was left there.', signal }: FolderOptions = {},
): Promise<void> {
  if (!replace) await mustBeFree(folder);
  const target = await realpath(folder).catch(() => resolve(folder));
  const temporary = join(dirname(target), temporaryName(target));
  try {
    const paths = await writeFiles(temporary, files, signal);
    if (!replace) await placeNewFolder(temporary, target);
    else await replaceFolder(temporary, target, paths);
  } catch (error) {
    throw ioError(error, doing, folder, advice);
  } finally {
    await rm(temporary, { recursive: true, force: true }).catch(() => {}); // What went wrong before is what matters.
  }
}

async function writeFiles(
  folder: string,
  files: Iterable<FolderFile> | AsyncIterable<FolderFile>,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  await makeFolder(folder);
  const paths: string[] = [];
  const folders = new Set([folder]);
  for await (const [path, content] of files) {
    throwIfAborted(signal);
    const file = join(folder, path);
    await makeFolder(dirname(file));
    await writeSynced(file, typeof content === 'function' ? await content() : content);
    paths.push(path);
    for (let each = dirname(file); each !== folder; each = dirname(each)) folders.add(each);
  }
  throwIfAborted(signal);
  for (const each of folders) await syncFolder(each);
  return paths;
}

async function writeSynced(path: string, content: FileContent): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    for (const piece of Array.isArray(content) ? content : [content]) await handle.writeFile(piece);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function placeNewFolder(temporary: string, folder: string): Promise<void> {
  await rmdir(folder).catch(() => {}); // An empty folder in its place.
  try {
    await moveIntoPlace(temporary, folder);
  } catch (error) {
    await mustBeFree(folder);
    throw error;
  }
}

async function replaceFolder(temporary: string, folder: string, paths: readonly string[]): Promise<void> {
  try {
    return await moveIntoPlace(temporary, folder);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'EPERM'].some((code) => isSystemError(error, code))) throw error;
  }
  // Another process may be reading these files: each is replaced by a rename, so none is ever missing.
  for (const path of paths) {
    await makeFolder(dirname(join(folder, path)));
    await moveIntoPlace(join(temporary, path), join(folder, path));
  }
}

/**
 * Checks that a new folder can be made at this path: nothing is there, or an empty folder.
 * @param remedy what to do when it cannot
 * @throws SentvecError `invalid-output`, `io-failed`
 */
export async function mustBeFree(path: string, remedy = 'Choose another folder, or remove it first.'): Promise<void> {
  try {
    if ((await readdir(path)).length === 0) return;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return;
    if (!isSystemError(error, 'ENOTDIR')) throw ioError(error, 'Reading', path);
    await guardIo('Reading', path, () => lstat(path)); // Throws if a parent of the path is a file.
  }
  throw new SentvecError('invalid-output', `${path} is there already. ${remedy}`, { file: path });
}

/** A rename would put a file in place of a device or a pipe. */
async function mustBeReplaceable(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats === undefined || stats.isFile() || stats.isSymbolicLink()) return;
  throw new SentvecError('invalid-output', `${path} is there and is not a file. Choose another path.`, { file: path });
}

/** Starts with the name of what it becomes, so that what a killed process left can be recognized. */
function temporaryName(path: string): string {
  return `${basename(path).slice(0, 64)}.${randomUUID()}.tmp`;
}

/** Makes a rename last through a loss of power. Does nothing where folders cannot be synced (Windows). */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
