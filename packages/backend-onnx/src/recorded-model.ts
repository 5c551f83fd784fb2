// Records ONNX models from safetensors, and caches them.
import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SplitModel } from '@sentvec/architectures';
import type { ModelFiles } from '@sentvec/core';
import { cacheDirectory } from '@sentvec/core/node';
import { sha256 } from '@sentvec/platform';
import {
  locatePackageFile,
  moveIntoPlace,
  resolveInstalled,
  writeFolderAtomically,
  type FolderFile,
} from '@sentvec/platform/node';
import { sharedModel, type ModelSource } from './shipped-model.ts';

const graphFile = 'model.onnx';
const weightsFile = 'model.onnx_data';

/** From this size in bytes on, a recorded model refers to the safetensors instead of containing a float32 copy. */
const largeWeights = 2 ** 28;

/** Only onnxruntime loads these files, so they may use its own operators, which are faster for long texts. */
const recorderOptions = { operators: 'onnxruntime' } as const;

/**
 * The ONNX model for the safetensors of a folder. It is recorded once and stored in the cache, in a folder named after
 * the hash of the model and of the recording code. If the cache is not writable, the model stays in memory. Large
 * weights on disk are not copied; the cached model links to them, also in half precision.
 * @param options.pairs see `LoadOptions.pairs`
 * @param options.caches the folder of all caches (default: `cacheDirectory()`)
 * @param options.large the sizes in bytes of all weights, and of a single weight, from which on they are not copied
 * (default: 256 MiB for all weights)
 * @throws SentvecError `invalid-model`, `unsupported-model`; see `readEncoder`
 */
export async function recordModel(files: ModelFiles, options: RecordModelOptions): Promise<ModelSource> {
  const { pairs, caches = cacheDirectory(), large = { all: largeWeights } } = options;
  const key = await recordingKey(files, pairs);
  const linked = await linkableWeights(files, large.all);
  if (linked !== undefined) {
    const folder = join(caches, 'onnx', `${key}-linked`);
    const source = await recordLinked(files, folder, linked, { pairs, smallest: large.one });
    if (source !== undefined) return { ...source, makeAgain: () => recordAgain(folder) };
  }
  const folder = join(caches, 'onnx', key);
  const cached = await findCached(files, folder);
  if (cached !== undefined) return { ...cached, makeAgain: () => recordAgain(folder) };
  const split = await recordSplit(files, pairs);
  await store(folder, split);
  return (await findCached(files, folder)) ?? inMemory(files, split);

  /** Replaces a damaged model in the cache. If it cannot be removed, the new model stays in memory. */
  async function recordAgain(broken: string): Promise<ModelSource> {
    const isRemoved = await rm(broken, { recursive: true, force: true }).then(
      () => true,
      () => false,
    );
    return isRemoved ? recordModel(files, options) : inMemory(files, await recordSplit(files, pairs));
  }
}

interface RecordModelOptions {
  readonly pairs: boolean;
  readonly caches?: string | undefined;
  readonly large?: { readonly all: number; readonly one?: number | undefined } | undefined;
}

async function recordSplit(files: ModelFiles, pairs: boolean): Promise<SplitModel> {
  const { readEncoder, recordSplitEncoder } = await import('@sentvec/architectures');
  return recordSplitEncoder(await readEncoder(files), weightsFile, { ...recorderOptions, pairs });
}

async function store(folder: string, { model, data }: SplitModel): Promise<void> {
  const recorded: FolderFile[] = [
    [graphFile, model],
    [weightsFile, data],
  ];
  // Another process may have stored the same model in the meantime. If the cache is not writable, the model stays in
  // memory.
  await writeFolderAtomically(folder, recorded, { replace: true }).catch(() => {});
}

/** The safetensors to which a recorded model can link; `undefined` if they are small or not on disk. */
async function linkableWeights(files: ModelFiles, large: number): Promise<readonly string[] | undefined> {
  if (files.directory === undefined || files.openFile === undefined) return undefined;
  const paths = (await files.list()).filter((path) => /^model(-\d+-of-\d+)?\.safetensors$/u.test(path));
  // Opening also downloads missing files, and refuses symbolic links out of the model folder.
  const opened = await Promise.all(paths.map((path) => files.openFile!(path)));
  return opened.reduce((sum, { size }) => sum + size, 0) >= large ? paths : undefined;
}

/** A model that links to its weights; `undefined` if the cache is not writable. */
async function recordLinked(
  files: ModelFiles,
  folder: string,
  weights: readonly string[],
  options: { readonly pairs: boolean; readonly smallest: number | undefined },
): Promise<ModelSource | undefined> {
  if ((await findCached(files, folder)) === undefined) {
    const { readEncoder, recordLinkedEncoder } = await import('@sentvec/architectures');
    const linked = recordLinkedEncoder(await readEncoder(files), weightsFile, { ...recorderOptions, ...options });
    await store(folder, linked);
  }
  try {
    for (const path of weights) await linkFile(join(files.directory!, path), join(folder, path));
  } catch {
    return undefined;
  }
  return findCached(files, folder, weights);
}

/**
 * Links a file of weights into the folder of the recorded model: as a hard link, because onnxruntime refuses symbolic
 * links, or as a copy if that is not possible. An existing link to another file is replaced, because the file for which
 * it was made may have been overwritten.
 */
async function linkFile(from: string, to: string): Promise<void> {
  const source = await realpath(from);
  const [present, wanted] = await Promise.all([stat(to).catch(() => undefined), stat(source)]);
  if (present?.ino === wanted.ino && present.dev === wanted.dev) return;
  const copied = `${to}.copied`;
  if (present?.size === wanted.size && (await stat(copied).catch(() => undefined)) !== undefined) return;
  const temporary = `${to}.${process.pid}.${randomUUID()}`;
  try {
    const isLinked = await link(source, temporary).then(
      () => true,
      () => false,
    );
    if (!isLinked) await copyFile(source, temporary, constants.COPYFILE_FICLONE);
    await moveIntoPlace(temporary, to);
    if (!isLinked) await writeFile(copied, '');
    else await rm(copied, { force: true });
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
}

async function findCached(
  files: ModelFiles,
  folder: string,
  linked: readonly string[] = [],
): Promise<ModelSource | undefined> {
  try {
    const sizes = await Promise.all(
      [graphFile, weightsFile, ...linked].map(async (name) => (await stat(join(folder, name))).size),
    );
    return {
      model: join(folder, graphFile),
      externalData: [],
      size: sizes.reduce((sum, size) => sum + size, 0),
      ...describe(files),
    };
  } catch {
    return undefined;
  }
}

function inMemory(files: ModelFiles, split: SplitModel): ModelSource {
  const shared = sharedModel(split, weightsFile);
  const size = shared.externalData.reduce((sum, { data }) => sum + data.byteLength, shared.model.byteLength);
  return { ...shared, size, ...describe(files) };
}

function describe({ name }: ModelFiles): Pick<ModelSource, 'file' | 'remedy'> {
  return {
    file: `the ONNX model recorded from ${name}`,
    remedy: 'The weights may be incomplete. Download the model again.',
  };
}

/** A hash of the configuration, the weights and the recording code, on which a recorded model depends. */
export async function recordingKey(files: ModelFiles, pairs: boolean): Promise<string> {
  const inputs = (await files.list()).filter(
    (path) => /^(?:adapter_)?config\.json$/u.test(path) || /^[^/]+\.safetensors(\.index\.json)?$/u.test(path),
  );
  const hash = createHash('sha256')
    .update(await recorderHash())
    .update(pairs ? 'pairs' : '');
  for (const path of inputs) hash.update(`${path}\0${await hashOf(files, path)}\0`);
  return hash.digest('hex').slice(0, 32);
}

async function hashOf(files: ModelFiles, path: string): Promise<string> {
  if (files.sha256 !== undefined) return files.sha256(path);
  return sha256(await files.read(path));
}

const architectures = '@sentvec/architectures';
let recorder: Promise<string> | undefined;

/**
 * A hash of the recording code: of its package, or of the bundle that contains it. A version number would not change
 * between two releases.
 */
function recorderHash(): Promise<string> {
  recorder ??= (async () => {
    const hash = createHash('sha256');
    const entry = resolveInstalled(architectures, import.meta.url);
    if (entry === undefined) {
      const bundle = locatePackageFile({ file: '', entry: architectures, from: import.meta.url });
      return hash.update(await readFile(bundle)).digest('hex');
    }
    const folder = dirname(entry);
    for (const name of (await readdir(folder, { recursive: true })).filter((each) => each.endsWith('.js')).sort()) {
      hash.update(name).update(await readFile(join(folder, name)));
    }
    return hash.digest('hex');
  })();
  return recorder;
}
