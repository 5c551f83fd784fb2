import {
  type EncoderDefinition,
  findShippedFile,
  readEncoder,
  recordEncoder,
  recordSplitEncoder,
} from '@sentvec/architectures';
import type { ModelFiles } from '@sentvec/core';
import type { FolderFile } from '@sentvec/platform/node';

/** The encoder as ONNX, and whether its weights are in a file of their own. */
export interface OnnxFiles {
  readonly files: readonly FolderFile[];
  readonly split: boolean;
}

/** A protocol buffer holds at most 2 GiB; the graph itself needs some of it. */
const largestSingleFile = 2 ** 31 - 2 ** 26;

/**
 * `onnx/model.onnx`: the one that the model ships, else one recorded from its safetensors.
 * @param largest bytes of weights up to which they stay in the same file
 * @throws SentvecError `invalid-model`, `unsupported-model`; see `readEncoder`
 */
export async function onnxFiles(encoder: ModelFiles, largest: number = largestSingleFile): Promise<OnnxFiles> {
  const shipped = await shippedFiles(encoder);
  if (shipped.length > 0) return { files: shipped, split: shipped.length > 1 };
  const definition = await readEncoder(encoder);
  if (weightBytes(definition) <= largest)
    return { files: [['onnx/model.onnx', async () => recordEncoder(definition)]], split: false };
  const { model, data } = recordSplitEncoder(definition, 'model.onnx_data');
  return {
    files: [
      ['onnx/model.onnx', async () => model],
      ['onnx/model.onnx_data', async () => data],
    ],
    split: true,
  };
}

async function shippedFiles(encoder: ModelFiles): Promise<FolderFile[]> {
  const paths = await encoder.list();
  const shipped = findShippedFile(encoder.name, paths, undefined);
  if (shipped === undefined) return [];
  const folder = shipped.slice(0, shipped.lastIndexOf('/') + 1);
  return paths
    .filter((path) => path.startsWith(`${folder}model.onnx`))
    .map((path): FolderFile => [`onnx/${path.slice(folder.length)}`, () => encoder.read(path)]);
}

function weightBytes({ weights }: EncoderDefinition): number {
  return [...weights.values()].reduce(
    (sum, shape) => sum + 4 * shape.reduce((product, extent) => product * extent, 1),
    0,
  );
}
