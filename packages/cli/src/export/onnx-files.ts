// The ONNX file of an export with its external data: copied from the model, or recorded.
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
  /** Names of the external data files of `model.onnx`; empty if it contains its weights. */
  readonly externalData: readonly string[];
}

/** Options of {@link onnxFiles}. */
export interface OnnxFilesOptions {
  /**
   * Whether to record the ONNX file from the safetensors even if the model has one.
   * @default false
   */
  readonly record?: boolean | undefined;
  /**
   * Maximum bytes of weights within a recorded ONNX file. More weights go into an external data file.
   * @default the maximum size of a protocol buffer
   */
  readonly largest?: number | undefined;
}

/** The limit of a protocol buffer is 2 GiB; some of it is reserved for the graph. */
const largestSingleFile = 2 ** 31 - 2 ** 26;

/** The name that transformers.js expects for the external data of `model.onnx`. */
const recordedData = 'model.onnx_data';

/**
 * Returns `onnx/model.onnx` and its external data files: those of the model, or else recorded from its safetensors.
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

/** Copies the model's ONNX file. External data files keep their names, because the ONNX file refers to them. */
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
