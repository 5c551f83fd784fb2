import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { ioFailed, isSystemError } from '../files/io-error.ts';
import type { FoundInput } from './source.ts';

/**
 * The inputs of a request, in its order; the files of a glob are sorted by name. A file that is named twice is read
 * once.
 *
 * @throws SentvecError `invalid-corpus` when there is no such file, `io-failed`
 */
export async function findInputs(inputs: readonly string[]): Promise<FoundInput[]> {
  const found = new Map<string, FoundInput>();
  for (const input of inputs) {
    for (const each of await findInput(input)) if (!found.has(each.path)) found.set(each.path, each);
  }
  return [...found.values()];
}

async function findInput(input: string): Promise<FoundInput[]> {
  if (input === '-') return [{ name: '-', path: '', kind: 'stream', bytes: 0, modified: 0 }];
  const stats = await statFile(input);
  if (stats) return [describe(input, stats)];
  const { glob, isDynamicPattern } = await import('tinyglobby');
  if (!isDynamicPattern(input)) throw missingFileError(input);
  const names = (await glob(input, { onlyFiles: true, expandDirectories: false, absolute: isAbsolute(input) })).sort();
  if (names.length === 0)
    throw new SentvecError('invalid-corpus', `No file matches ${input}. Check the pattern.`, { file: input });
  return Promise.all(names.map(async (name) => describe(name, await stat(name))));
}

/** One file, which must exist. @throws SentvecError `invalid-corpus` when it is not there or is a folder, `io-failed` */
export async function findFile(file: string): Promise<FoundInput> {
  const stats = await statFile(file);
  if (stats) return describe(file, stats);
  throw missingFileError(file);
}

function missingFileError(file: string): SentvecError {
  return new SentvecError('invalid-corpus', `There is no file ${file}. Check the path.`, { file });
}

async function statFile(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return undefined;
    throw ioFailed(error, 'Reading', path);
  }
}

function describe(name: string, stats: Stats): FoundInput {
  if (stats.isDirectory()) {
    throw new SentvecError(
      'invalid-corpus',
      `${name} is a folder. Name its files, by a glob in quotes: "${name.replace(/\/+$/, '')}/*.jsonl".`,
      {
        file: name,
      },
    );
  }
  const path = resolve(name);
  return stats.isFile()
    ? { name, path, kind: 'file', bytes: stats.size, modified: stats.mtimeMs }
    : { name, path, kind: 'stream', bytes: 0, modified: 0 };
}
