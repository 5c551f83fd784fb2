import { readFileSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import type { ModelFiles } from '@sentvec/core';
import type { GoldenExpectation, GoldenSource } from './golden-expectation.ts';

/** Absolute path of a file among the goldens, for example `losses.json` or `models/tiny-bert`. */
export function goldenPath(path: string): string {
  return fileURLToPath(new URL(`../goldens/${path}`, import.meta.url));
}

/** A golden model's folder, as model files. */
export function goldenModel(name: string): ModelFiles & { readonly directory: string } {
  const directory = goldenPath(`models/${name}`);
  return {
    name,
    directory,
    list: async () => {
      const entries = await readdir(directory, { recursive: true, withFileTypes: true });
      return entries
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
        .sort();
    },
    read: async (path) => new Uint8Array(await readFile(join(directory, path))),
    size: async (path) => (await stat(join(directory, path))).size,
  };
}

/** What a golden model gives for its texts. Float32 on the CPU stays within 5e-5 of it, absolute. */
export function goldenExpectation(name: string): GoldenExpectation {
  return JSON.parse(readFileSync(goldenPath(`models/${name}/expected.json`), 'utf8'));
}

/** The golden models as files of this package. */
export const goldenFiles: GoldenSource = { model: goldenModel, expectation: goldenExpectation };
