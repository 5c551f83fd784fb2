import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import type { ModelFiles, SimilarityFunction } from '@sentvec/core';

/** One text with what PyTorch made of it. */
export interface GoldenCase {
  readonly text: string;
  readonly ids: readonly number[];
  readonly tokens: readonly string[];
  readonly truncated: boolean;
  /** After pooling, before dense and normalize. */
  readonly pooled: readonly number[];
  /** The final vector. */
  readonly embedding: readonly number[];
  /** The last hidden state, a row for each id. Only some cases have it. */
  readonly token_embeddings?: readonly (readonly number[])[];
}

/** A text that was embedded with one of the model's prompts. */
export interface GoldenPromptedCase extends Omit<GoldenCase, 'tokens' | 'truncated' | 'token_embeddings'> {
  readonly prompt_name: string;
  readonly prompt: string;
  readonly prompt_length: number;
}

/** The contents of a golden model's `expected.json`. */
export interface GoldenExpectation {
  readonly model: string;
  readonly model_type: string;
  readonly max_seq_length: number;
  readonly pooled_dimension: number;
  readonly dimension: number;
  readonly similarity_fn_name: SimilarityFunction;
  readonly cases: readonly GoldenCase[];
  readonly prompted: readonly GoldenPromptedCase[];
}

/** The tiny models with known outputs that this package ships. */
export const goldenModelNames: readonly string[] = ['tiny-bert', 'tiny-roberta', 'tiny-mpnet', 'tiny-bert-multipool'];

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
  };
}

/** What a golden model gives for its texts. Float32 on the CPU stays within 5e-5 of it, absolute. */
export function goldenExpectation(name: string): GoldenExpectation {
  return JSON.parse(readFileSync(goldenPath(`models/${name}/expected.json`), 'utf8'));
}
