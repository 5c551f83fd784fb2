import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { RejectedRow } from '@sentvec/corpus';
import { afterEach, beforeEach } from 'vitest';

/** Creates a separate temporary folder for each test of the calling file. */
export function workspace(): {
  path(name: string): string;
  write(name: string, content: string | Uint8Array): Promise<string>;
} {
  let root = '';
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'sentvec-corpus-'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));
  return {
    path: (name) => join(root, name),
    write: async (name, content) => {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), content);
      return join(root, name);
    },
  };
}

/** Reads all files of a folder, by name. */
export async function contents(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const files = await Promise.all(
    names.map(
      async ({ parentPath, name }) =>
        [join(parentPath, name).slice(folder.length + 1), await readFile(join(parentPath, name), 'latin1')] as const,
    ),
  );
  return Object.fromEntries(files.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Reads all files of an output, by their names without content hashes. */
export async function plainContents(output: string): Promise<Record<string, string>> {
  const found = Object.entries(await contents(output));
  return Object.fromEntries(
    found.map(([name, content]) => [plainNames(name), name === 'manifest.json' ? plainNames(content) : content]),
  );
}

/** Parses the lines of a JSON Lines file. */
export async function readLines<T = Record<string, unknown>>(path: string): Promise<T[]> {
  return (await readFile(path, 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

/** Reads the rows of all JSON Lines shards of an output. */
export async function readRows(
  output: string,
): Promise<{ id: number | string; embedding: number[]; [column: string]: unknown }[]> {
  const names = (await readdir(output)).filter((name) => name.startsWith('shard-')).sort();
  return (
    await Promise.all(names.map((name) => readLines<{ id: number; embedding: number[] }>(join(output, name))))
  ).flat();
}

/** Reads the rejected rows of an output. */
export async function readRejected(output: string): Promise<RejectedRow[]> {
  const name = (await readdir(output)).find((each) => each.startsWith('rejected.'));
  return name === undefined ? [] : readLines<RejectedRow>(join(output, name));
}

/** Finds a file of an output by its name without the content hash: `shard-00002.npy`. */
export async function listedFile(output: string, plain: string): Promise<string> {
  const name = (await readdir(output)).find((each) => plainNames(each) === plain);
  if (name === undefined) throw new Error(`${output} has no ${plain}.`);
  return join(output, name);
}

/** Removes the content hashes from file names in a text. */
export function plainNames(text: string): string {
  return text.replaceAll(/\b(shard-\d+|rejected)\.[0-9a-f]{16}\./gu, '$1.');
}
