// Model folders on disk: lists, opens, reads and hashes their files, and refuses symbolic links that lead out of them.
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { guardIo, isSystemError } from '@sentvec/platform/node';
import { SentvecError } from '../errors.ts';
import { checkFilePath, noSuchFile } from '../model-folder/model-files.ts';
import type { FileParts, ModelFiles } from '../types.ts';

/** Options of {@link directoryModel}. */
export interface DirectoryModelOptions {
  /**
   * Name of the model, for messages.
   * @default the path
   */
  readonly name?: string | undefined;
  /** Exact version of the model, such as a commit. */
  readonly revision?: string | undefined;
  /**
   * The folder to which symbolic links may lead.
   * @default the model's own folder; for a snapshot in the cache of the Hugging Face hub, whose files are links to its
   * `blobs`, the folder of the repository
   */
  readonly linksWithin?: string | undefined;
}

const optionNames: OptionNames<DirectoryModelOptions> = {
  name: true,
  revision: true,
  linksWithin: true,
};

/**
 * A model in a local folder. Symbolic links that lead out of the folder are refused: a downloaded folder must not give
 * access to other files.
 */
export async function directoryModel(
  path: string,
  options: DirectoryModelOptions = {},
): Promise<ModelFiles & { readonly directory: string }> {
  checkOptionNames('directoryModel()', options, optionNames);
  const directory = await resolveDirectory(path);
  const boundary =
    options.linksWithin === undefined ? await defaultBoundary(directory) : await realpath(options.linksWithin);
  const locate = (file: string): Promise<string> => resolveFile(directory, boundary, path, checkFilePath(file));
  const hashes = new Map<string, Promise<string>>();
  const hashOnce = async (file: string): Promise<string> => {
    const { ino, size, ctimeMs } = await stat(file);
    const state = `${ino} ${size} ${ctimeMs} ${file}`;
    const hash = hashes.get(state) ?? hashFile(file);
    hashes.set(state, hash);
    hash.catch(() => hashes.delete(state));
    return hash;
  };
  const reading = <T>(file: string, work: () => Promise<T>): Promise<T> => guardIo('Reading', join(path, file), work);
  return {
    name: options.name ?? path,
    ...(options.revision === undefined ? {} : { revision: options.revision }),
    directory,
    list: () => reading('', () => listFiles(directory)),
    read: (file) => reading(file, async () => readWhole(await locate(file))),
    size: (file) => reading(file, async () => (await stat(await locate(file))).size),
    sha256: (file) => reading(file, async () => hashOnce(await locate(file))),
    openFile: (file) => reading(file, async () => openParts(await locate(file))),
  };
}

async function resolveDirectory(path: string): Promise<string> {
  const stats = await guardIo('Reading the model folder', path, () => unlessMissing(stat(path)));
  if (stats?.isDirectory()) return realpath(path);
  const what = stats ? 'is not a folder' : 'does not exist';
  throw new SentvecError('model-not-found', `The model folder ${path} ${what}. Check the path.`, { file: path });
}

async function defaultBoundary(directory: string): Promise<string> {
  const snapshots = dirname(directory);
  const repository = dirname(snapshots);
  return basename(snapshots) === 'snapshots' && basename(repository).startsWith('models--') ? repository : directory;
}

/** Resolves all symbolic links of a path before checking that it is inside the boundary. */
async function resolveFile(directory: string, boundary: string, model: string, file: string): Promise<string> {
  const resolved = await unlessMissing(realpath(join(directory, ...file.split('/'))));
  if (resolved === undefined || !(await stat(resolved)).isFile()) throw noSuchFile(model, file);
  if (resolved.startsWith(boundary + sep)) return resolved;
  throw new SentvecError(
    'invalid-model',
    `${file} of the model ${model} is a link to ${resolved}, outside the model's folder. Replace the link by the file itself.`,
    { file },
  );
}

/** Error codes that mean that a file does not exist. Others (such as permissions) mean that it cannot be read. */
const missing: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']);

async function unlessMissing<T>(lookup: Promise<T>): Promise<T | undefined> {
  try {
    return await lookup;
  } catch (error) {
    if (isSystemError(error) && !missing.has(error.code)) throw error;
    return undefined;
  }
}

async function listFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) =>
      join(entry.parentPath ?? entry.path, entry.name)
        .slice(directory.length + 1)
        .replaceAll(sep, '/'),
    )
    .sort();
}

/** Reads a file of any size: `fs.readFile` is limited to 2 GiB, and shards of weights are larger. */
async function readWhole(file: string): Promise<Uint8Array> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const content = allocate(size, file);
    for (let offset = 0; offset < size;) {
      const { bytesRead } = await handle.read(content, offset, Math.min(size - offset, 2 ** 26), offset);
      if (bytesRead === 0) throw new SentvecError('io-failed', `${file} became shorter while it was read.`, { file });
      offset += bytesRead;
    }
    return content;
  } finally {
    await handle.close();
  }
}

/** A sparse file can have any size, so the allocation may fail. */
function allocate(size: number, file: string): Uint8Array {
  try {
    return new Uint8Array(size);
  } catch (cause) {
    throw new SentvecError('io-failed', `${file} has ${size} bytes, more than fit into memory.`, { file }, { cause });
  }
}

/**
 * A file that is read in parts; it is opened again for each part.
 * @throws system errors
 */
export async function openParts(file: string): Promise<FileParts> {
  const { size, mtimeMs } = await stat(file);
  return { size, read: (begin, end) => readPart(file, begin, end, mtimeMs) };
}

function readPart(file: string, begin: number, end: number, mtimeMs: number): Uint8Array {
  const content = allocate(end - begin, file);
  let handle: number | undefined;
  try {
    handle = openSync(file, 'r');
    if (fstatSync(handle).mtimeMs !== mtimeMs) throw new Error('the file was changed since it was opened.');
    for (let offset = 0; offset < content.length;) {
      const bytesRead = readSync(handle, content, offset, Math.min(content.length - offset, 2 ** 30), begin + offset);
      if (bytesRead === 0) throw new Error('the file became shorter since it was opened.');
      offset += bytesRead;
    }
    return content;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SentvecError('io-failed', `Reading ${file} failed: ${reason}`, { file }, { cause });
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}

async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 18 })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
