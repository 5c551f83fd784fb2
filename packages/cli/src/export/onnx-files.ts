// The ONNX file of an export, and the files that it keeps weights in: shipped with the model, or recorded.
import {
  type EncoderDefinition,
  findExternalFiles,
  findShippedFile,
  readEncoder,
  recordEncoder,
  recordSplitEncoder,
} from '@sentvec/architectures';
import type { ModelFiles } from '@sentvec/core';
import type { FolderFile } from '@sentvec/platform/node';

/** The encoder as ONNX. */
export interface OnnxFiles {
  readonly files: readonly FolderFile[];
  /** Names of the files beside `model.onnx` that hold its weights; none where it holds them itself. */
  readonly externalData: readonly string[];
}

/** Where the ONNX file comes from. */
export interface OnnxFilesOptions {
  /**
   * Record it from the safetensors even if the model ships one.
   * @default false
   */
  readonly record?: boolean | undefined;
  /**
   * Bytes of weights up to which a recorded file holds them itself.
   * @default as many as a protocol buffer has room for
   */
  readonly largest?: number | undefined;
}

/** A protocol buffer holds at most 2 GiB; the graph itself needs some of it. */
const largestSingleFile = 2 ** 31 - 2 ** 26;

/** Where transformers.js looks for weights beside `model.onnx`. */
const recordedData = 'model.onnx_data';

/**
 * `onnx/model.onnx` and the files that it keeps weights in: those that the model ships, else recorded from its
 * safetensors.
 * @throws SentvecError `invalid-model`, `unsupported-model`; see `readEncoder` and `findExternalFiles`
 */
export async function onnxFiles(encoder: ModelFiles, options: OnnxFilesOptions = {}): Promise<OnnxFiles> {
  const { record = false, largest = largestSingleFile } = options;
  const shipped = record ? undefined : findShippedFile(encoder.name, await encoder.list(), undefined);
  if (shipped !== undefined) return shippedFiles(encoder, shipped);
  const definition = await readEncoder(encoder);
  if (weightBytes(definition) <= largest)
    return { files: [['onnx/model.onnx', async () => recordEncoder(definition)]], externalData: [] };
  const { model, data } = recordSplitEncoder(definition, recordedData);
  return {
    files: [
      ['onnx/model.onnx', async () => model],
      [`onnx/${recordedData}`, async () => data],
    ],
    externalData: [recordedData],
  };
}

/** The weights keep their names, by which the ONNX file finds them; its own it never mentions. */
async function shippedFiles(encoder: ModelFiles, shipped: string): Promise<OnnxFiles> {
  const external = await findExternalFiles(encoder, shipped);
  const folder = shipped.slice(0, shipped.lastIndexOf('/') + 1);
  const copy = (path: string, name: string): FolderFile => [`onnx/${name}`, () => encoder.read(path)];
  const externalData = external.map(({ path }) => path.slice(folder.length));
  return {
    files: [copy(shipped, 'model.onnx'), ...external.map(({ path }, index) => copy(path, externalData[index]!))],
    externalData,
  };
}

function weightBytes({ weights }: EncoderDefinition): number {
  return [...weights.values()].reduce(
    (sum, shape) => sum + 4 * shape.reduce((product, extent) => product * extent, 1),
    0,
  );
}
