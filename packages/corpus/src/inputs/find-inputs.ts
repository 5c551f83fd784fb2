/**
 * Resolves the inputs of a request to files: paths, URIs of files in object stores, globs of both, and standard input.
 */
import type { Stats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { guardIo, ioError, isSystemError } from '@sentvec/platform/node';
import { isStorageUri, locateFile, pinAddresses } from '@sentvec/storage';
import { fileStateOf, missingFileError, storedState, type FileState } from './input-file.ts';

/** An input that was found but not read yet. JSON. */
export interface FoundInput extends FileState {
  /** The name that the user gave, or that a glob found. `-` is standard input. */
  readonly name: string;
  /** Absolute path, or the URI of a file in a store; empty for standard input. */
  readonly path: string;
  /** `stream`: standard input, a pipe or a device. It can be read only once. */
  readonly kind: 'file' | 'stream';
}

/**
 * Finds the inputs of a request, in its order; the files of a glob are sorted by name. A file that is named twice, by
 * two patterns or through symbolic links, is read once, under its first name. A hard link counts as another file,
 * because it looks like a copy. For the hub, a branch is resolved to its current commit, which is part of the returned
 * paths.
 *
 * @throws SentvecError `invalid-corpus` when a file does not exist; `io-failed`
 */
export async function findInputs(inputs: readonly string[]): Promise<FoundInput[]> {
  const found = new Map<string, FoundInput>();
  const pinned = await pinAddresses(inputs);
  for (const [index, input] of inputs.entries()) {
    for (const each of await findInput(input, pinned[index]!)) {
      const path = await realPath(each);
      if (!found.has(path)) found.set(path, each);
    }
  }
  return [...found.values()];
}

/**
 * Resolves the symbolic links in the path of a file. Paths in stores do not change. @throws SentvecError `io-failed`
 */
export async function realPath({ path, kind }: Pick<FoundInput, 'path' | 'kind'>): Promise<string> {
  return kind === 'stream' || isStorageUri(path) ? path : guardIo('Reading', path, () => realpath(path));
}

async function findInput(input: string, pinned: string): Promise<FoundInput[]> {
  if (isStorageUri(input)) return findStored(input, pinned);
  if (input === '-') return [{ name: '-', path: '', kind: 'stream', ...streamState }];
  const stats = await statFile(input);
  if (stats) return [describe(input, stats)];
  const { glob, isDynamicPattern } = await import('tinyglobby');
  if (!isDynamicPattern(input)) throw missingFileError(input);
  const names = (await glob(input, { onlyFiles: true, expandDirectories: false, absolute: isAbsolute(input) })).sort();
  if (names.length === 0) throw noMatchError(input);
  return Promise.all(names.map(async (name) => describe(name, await stat(name))));
}

/** Finds one file. @throws SentvecError `invalid-corpus` when it does not exist or is a folder; `io-failed` */
export async function findFile(file: string): Promise<FoundInput> {
  if (isStorageUri(file)) {
    const [path = file] = await pinAddresses([file]);
    const { storage, key } = locateFile(path);
    const state = await storage.stat(key);
    if (state) return { name: file, path, kind: 'file', ...storedState(state) };
    throw missingFileError(file);
  }
  const stats = await statFile(file);
  if (stats) return describe(file, stats);
  throw missingFileError(file);
}

/**
 * Finds a file of a store, or all files whose keys match a glob. A key that equals the glob literally takes precedence.
 */
async function findStored(input: string, pinned: string): Promise<FoundInput[]> {
  const { storage, key } = locateFile(pinned);
  const named = locateFile(input).storage.uri;
  const state = key === '' || key.endsWith('/') ? undefined : await storage.stat(key);
  if (state) return [{ name: input, path: pinned, kind: 'file', ...storedState(state) }];
  const { default: picomatch } = await import('picomatch');
  const { base, isGlob } = picomatch.scan(key);
  if (key === '' || key.endsWith('/')) throw folderError(input);
  if (!isGlob) throw missingFileError(input);
  const matches = picomatch(key);
  const found: FoundInput[] = [];
  // The prefix before the first wildcard, for listing. It may end within a name.
  const prefix = key.slice(0, key.slice(base.length).search(/[*?[\]{}()!@+\\]/u) + base.length);
  for await (const file of storage.list(prefix)) {
    const [name, path] = [`${named}/${file.key}`, `${storage.uri}/${file.key}`];
    if (matches(file.key)) found.push({ name, path, kind: 'file', ...storedState(file) });
  }
  if (found.length === 0) throw noMatchError(input);
  return found.sort((one, other) => (one.name < other.name ? -1 : 1));
}

function noMatchError(input: string): SentvecError {
  return new SentvecError('invalid-corpus', `No file matches ${input}. Check the pattern.`, {
    file: input,
    missing: true,
  });
}

function folderError(name: string): SentvecError {
  const glob = `${name.replace(/\/+$/u, '')}/*.jsonl`;
  return new SentvecError('invalid-corpus', `${name} is a folder. Name its files by a glob in quotes: "${glob}".`, {
    file: name,
  });
}

async function statFile(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return undefined;
    throw ioError(error, 'Reading', path);
  }
}

function describe(name: string, stats: Stats): FoundInput {
  if (stats.isDirectory()) throw folderError(name);
  const path = resolve(name);
  return stats.isFile()
    ? { name, path, kind: 'file', ...fileStateOf(stats) }
    : { name, path, kind: 'stream', ...streamState };
}

const streamState: FileState = { bytes: 0, modified: 0, changed: 0, inode: 0 };
