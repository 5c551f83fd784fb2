// The ONNX model of a folder, in memory: the one it ships, or one that is recorded from its weights.
import {
  bytesSource,
  checkGraph,
  findExternalFiles,
  findShippedFile,
  isDefaultFile,
  readEncoder,
  recordEncoder,
} from '@sentvec/architectures';
import type { ModelFiles } from '@sentvec/core';

/** An ONNX model in memory. */
export interface ModelSource {
  readonly model: Uint8Array;
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
  /** How a person would name the file. */
  readonly file: string;
  /** What to do when the file is broken, in a sentence. */
  readonly remedy: string;
  /** See `LoadOptions.pairs`. */
  readonly pairs: boolean;
  /** Whether it came with the model: then nothing is known of its contents. */
  readonly shipped: boolean;
  /** See `Encoder.weightsFile`. */
  readonly weightsFile: string | undefined;
}

/**
 * The ONNX file of a model: the one it ships, else one recorded from its safetensors.
 * @throws SentvecError `invalid-argument` when it has no such variant; `invalid-model`, `unsupported-model`
 */
export async function readModelSource(
  files: ModelFiles,
  variant: string | undefined,
  pairs: boolean,
): Promise<ModelSource> {
  const path = findShippedFile(files.name, await files.list(), variant);
  if (path === undefined) {
    return {
      model: recordEncoder(await readEncoder(files), { pairs }),
      externalData: [],
      file: `the ONNX model recorded from ${files.name}`,
      remedy: 'Are the weights complete? Download the model again.',
      pairs,
      shipped: false,
      weightsFile: undefined,
    };
  }
  const external = await findExternalFiles(files, path);
  const [model, ...weights] = await Promise.all(
    [path, ...external.map((file) => file.path)].map((file) => files.read(file)),
  );
  const file = `${files.name}/${path}`;
  checkGraph(bytesSource(model!), file);
  return {
    model: model!,
    externalData: weights.map((data, index) => ({ path: external[index]!.location, data })),
    file,
    remedy: 'Is the file complete? Download or convert the model again.',
    pairs,
    shipped: true,
    weightsFile: variant === undefined && isDefaultFile(path) ? undefined : path,
  };
}
