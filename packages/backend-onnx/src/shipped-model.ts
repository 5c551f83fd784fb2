// Opens the ONNX file of a model folder, by path or in shared memory.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  bytesSource,
  checkGraph,
  findExternalFiles,
  findShippedFile,
  isDefaultFile,
  type ByteSource,
  type ExternalFile,
} from '@sentvec/architectures/onnx-files';
import type { SplitModel } from '@sentvec/architectures';
import type { ModelFiles } from '@sentvec/core';
import { guardIo } from '@sentvec/platform/node';
import type { SessionModel } from './messages.ts';

/** An ONNX model with its origin and size. */
export interface ModelSource extends SessionModel {
  /** The name of the file in messages. */
  readonly file: string;
  /** A sentence for messages that says what to do if the file is damaged. */
  readonly remedy: string;
  /**
   * Replaces a cached model that cannot be opened.
   * @default the model is not in the cache
   */
  readonly makeAgain?: (() => Promise<ModelSource>) | undefined;
  /** The size of the file and its external data files in bytes. */
  readonly size: number;
  /** The path of the file if it is not the default file; see `Encoder.weightsFile`. */
  readonly weightsFile?: string | undefined;
}

/**
 * Finds and checks the ONNX file of a model folder.
 * @param variant the name of the file without its extension; `undefined` for the default file
 * @returns `undefined` if there is none
 * @throws SentvecError `invalid-argument` if the variant does not exist; `invalid-model`; `unsupported-model` for a
 * graph whose execution may never end
 */
export async function findShippedModel(
  files: ModelFiles,
  variant: string | undefined,
): Promise<ModelSource | undefined> {
  const path = findShippedFile(files.name, await files.list(), variant);
  if (path === undefined) return undefined;
  const file = `${files.name}/${path}`;
  const opened = await openFiles(files, path, await findExternalFiles(files, path));
  const { model } = opened;
  if (typeof model === 'string') await guardIo('Reading', file, async () => checkGraphOfFile(model, file));
  else checkGraph(bytesSource(new Uint8Array(model)), file);
  return {
    ...opened,
    file,
    remedy: 'The file may be incomplete. Download or convert the model again.',
    ...((variant !== undefined || !isDefaultFile(path)) && { weightsFile: path }),
  };
}

/** Checks the graph of a file without reading its weights, which are most of the file. It reads only small pieces. */
function checkGraphOfFile(path: string, file: string): void {
  const descriptor = openSync(path, 'r');
  const window = new Uint8Array(2 ** 16);
  let [from, filled] = [0, 0];
  const read: ByteSource['read'] = (start, end) => {
    if (end - start > window.length) throw new Error('A read is longer than its window.');
    if (start < from || end > from + filled) {
      from = start;
      filled = readSync(descriptor, window, 0, window.length, start);
    }
    return window.subarray(start - from, Math.min(end - from, filled));
  };
  try {
    checkGraph({ size: fstatSync(descriptor).size, read }, file);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * The path of the model if the files are on disk, so that onnxruntime can map them into memory; otherwise their bytes
 * in shared memory.
 */
async function openFiles(
  files: ModelFiles,
  path: string,
  external: readonly ExternalFile[],
): Promise<SessionModel & { readonly size: number }> {
  const all = [path, ...external.map((file) => file.path)];
  if (files.directory !== undefined) {
    // This also downloads missing files, and refuses symbolic links out of the model folder.
    const sizes = await Promise.all(all.map((file) => sizeOnDisk(files, file)));
    if (sizes.every((size) => size !== undefined)) {
      return { model: join(files.directory, path), externalData: [], size: sizes.reduce((sum, size) => sum + size, 0) };
    }
  }
  const [model, ...weights] = await Promise.all(all.map(async (file) => toShared(await files.read(file))));
  const size = [model!, ...weights].reduce((sum, bytes) => sum + bytes.byteLength, 0);
  return {
    model: model!,
    externalData: weights.map((data, index) => ({ path: external[index]!.location, data })),
    size,
  };
}

async function sizeOnDisk(files: ModelFiles, path: string): Promise<number | undefined> {
  await files.size?.(path);
  const local = join(files.directory!, path);
  const present = await stat(local).catch(() => undefined);
  if (present !== undefined) return present.size;
  await files.read(path);
  return (await stat(local).catch(() => undefined))?.size;
}

/**
 * Copies a recorded model to shared memory.
 * @param location the path of its weights in the model
 */
export function sharedModel(
  { model, data }: SplitModel,
  location: string,
): { readonly model: SharedArrayBuffer; readonly externalData: SessionModel['externalData'] } {
  const weights = new SharedArrayBuffer(data.reduce((sum, piece) => sum + piece.length, 0));
  let offset = 0;
  for (const piece of data) {
    new Uint8Array(weights).set(piece, offset);
    offset += piece.length;
  }
  // onnxruntime refuses empty files.
  return { model: toShared(model), externalData: offset === 0 ? [] : [{ path: location, data: weights }] };
}

/** Copies bytes to shared memory. */
function toShared(bytes: Uint8Array): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  return shared;
}
