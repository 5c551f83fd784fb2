// ONNX models that are recorded from safetensors, and their cache.
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SplitModel } from '@sentvec/architectures';
import type { ModelFiles } from '@sentvec/core';
import { cacheDirectory } from '@sentvec/core/node';
import { sha256 } from '@sentvec/platform';
import { locatePackageFile, resolveInstalled, writeFolderAtomically, type FolderFile } from '@sentvec/platform/node';
import { toShared, type ModelSource } from './shipped-model.ts';

const graphFile = 'model.onnx';
const weightsFile = 'model.onnx_data';

/**
 * An ONNX model of what the folder holds as safetensors. It is recorded once and stored in the cache, in a folder named
 * by the content of the model and of the code that records. Without a cache that can be written to, it stays in memory.
 * @param caches the folder for all caches; default `cacheDirectory()`
 * @throws SentvecError `invalid-model`, `unsupported-model`; see `readEncoder`
 */
export async function recordModel(files: ModelFiles, caches: string = cacheDirectory()): Promise<ModelSource> {
  const folder = join(caches, 'onnx', await recordingKey(files));
  const cached = await findCached(files, folder);
  if (cached !== undefined) return cached;
  const { readEncoder, recordSplitEncoder } = await import('@sentvec/architectures');
  const split = recordSplitEncoder(await readEncoder(files), weightsFile);
  const recorded: FolderFile[] = [
    [graphFile, split.model],
    [weightsFile, split.data],
  ];
  // Another process may have recorded the same meanwhile.
  await writeFolderAtomically(folder, recorded, { replace: true }).catch(() => {});
  return (await findCached(files, folder)) ?? inMemory(files, split);
}

async function findCached(files: ModelFiles, folder: string): Promise<ModelSource | undefined> {
  try {
    const sizes = await Promise.all(
      [graphFile, weightsFile].map(async (name) => (await stat(join(folder, name))).size),
    );
    return {
      model: join(folder, graphFile),
      externalData: [],
      size: sizes[0]! + sizes[1]!,
      ...describe(files, folder),
    };
  } catch {
    return undefined;
  }
}

function inMemory(files: ModelFiles, { model, data }: SplitModel): ModelSource {
  const size = data.reduce((sum, piece) => sum + piece.length, 0);
  const shared = new SharedArrayBuffer(size);
  let offset = 0;
  for (const piece of data) {
    new Uint8Array(shared).set(piece, offset);
    offset += piece.length;
  }
  return {
    model: toShared(model),
    externalData: [{ path: weightsFile, data: shared }],
    size: size + model.length,
    ...describe(files),
  };
}

function describe(files: ModelFiles, folder?: string): Pick<ModelSource, 'file' | 'remedy'> {
  const remedy =
    folder === undefined
      ? 'Are the weights complete? Download the model again.'
      : `Delete the folder ${folder}; it is then made again.`;
  return { file: `the ONNX model recorded from ${files.name}`, remedy };
}

/** A hash of all that decides what is recorded: configuration, weights, and the recording code. */
async function recordingKey(files: ModelFiles): Promise<string> {
  const inputs = (await files.list()).filter(
    (path) => /^(?:adapter_)?config\.json$/u.test(path) || /^[^/]+\.safetensors(\.index\.json)?$/u.test(path),
  );
  const hash = createHash('sha256').update(await recorderHash());
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
 * A hash of the code that records: of its package, or of the bundle that it is part of. A version number would miss what
 * changes between two releases.
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
