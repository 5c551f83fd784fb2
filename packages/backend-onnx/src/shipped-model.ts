// The ONNX file of a model folder, by path or in shared memory.
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

/** An ONNX model, where it came from, and how large it is. */
export interface ModelSource extends SessionModel {
  /** How a person would name the file. */
  readonly file: string;
  /** What to do when the file is broken, in a sentence. */
  readonly remedy: string;
  /** Makes the model again, once, when it cannot be opened: of a model in our own cache. */
  readonly makeAgain?: (() => Promise<ModelSource>) | undefined;
  /** Bytes of the file and of the weights beside it. */
  readonly size: number;
  /** Set when the file is not the standard one; see `Encoder.weightsFile`. */
  readonly weightsFile?: string | undefined;
}

/**
 * The ONNX file that a model ships with.
 * @param variant name of the file without its ending; `undefined` for the standard one
 * @returns `undefined` when there is none
 * @throws SentvecError `invalid-argument` when there is no such variant; `invalid-model`, `unsupported-model` for a graph
 * that may never end
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
    remedy: 'Is the file complete? Download or convert the model again.',
    ...((variant !== undefined || !isDefaultFile(path)) && { weightsFile: path }),
  };
}

/** Weights, which take nearly all of a file, are passed over: small pieces are read here and there. */
function checkGraphOfFile(path: string, file: string): void {
  const descriptor = openSync(path, 'r');
  const window = new Uint8Array(2 ** 16);
  let [from, filled] = [0, 0];
  const read: ByteSource['read'] = (start, end) => {
    if (end - start > window.length) throw new Error('A piece is longer than any that is asked for.');
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
 * By path where the files are on this disk, so that onnxruntime can map them; else their bytes, in memory that all
 * threads share.
 */
async function openFiles(
  files: ModelFiles,
  path: string,
  external: readonly ExternalFile[],
): Promise<SessionModel & { readonly size: number }> {
  const all = [path, ...external.map((file) => file.path)];
  if (files.directory !== undefined) {
    // Also downloads what is not here yet, and refuses links that lead out of the model.
    const sizes = await Promise.all(all.map((file) => sizeOf(files, file)));
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

async function sizeOf(files: ModelFiles, path: string): Promise<number | undefined> {
  await files.size?.(path);
  const local = join(files.directory!, path);
  const present = await stat(local).catch(() => undefined);
  if (present !== undefined) return present.size;
  await files.read(path);
  return (await stat(local).catch(() => undefined))?.size;
}

/** A recorded model in memory that worker threads can share. @param location of its weights, as it names them */
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
  // onnxruntime refuses a file without bytes.
  return { model: toShared(model), externalData: offset === 0 ? [] : [{ path: location, data: weights }] };
}

/** A copy in memory that worker threads can share. */
function toShared(bytes: Uint8Array): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  return shared;
}
