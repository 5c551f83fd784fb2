import { readEncoder, recordEncoder } from '@sentvec/architectures';
import {
  memoryModel,
  readJson,
  readModelFolder,
  readWeights,
  SentvecError,
  subfolder,
  writeSafetensors,
  type ModelFiles,
  type WritableTensor,
} from '@sentvec/core';
import type { TrainingState } from './engine.ts';
import type { ParameterSlot } from './optimizer/parameters.ts';
import type { TrainableModel } from './step/siamese.ts';

/** Files by their path in the model. */
export type FileContents = Readonly<Record<string, Uint8Array>>;

/** Trained numbers by the name of their tensor. */
export type TrainedWeights = ReadonlyMap<string, Float32Array>;

/** The numbers of each tensor from the flat buffer of a state; views. */
export function trainedWeights(
  slots: readonly ParameterSlot[],
  { weights }: Pick<TrainingState, 'weights'>,
): TrainedWeights {
  return new Map(slots.map(({ name, offset, size }) => [name, weights.subarray(offset, offset + size)]));
}

/**
 * The files of a model with trained weights in place of its own: the encoder's `model.safetensors`, the weights of
 * dense and layer-norm modules, and `onnx/model.onnx` recorded anew. Everything else is carried over: configuration,
 * tokenizer, modules.
 */
export async function trainedModelFiles(
  files: ModelFiles,
  model: TrainableModel,
  trained: TrainedWeights,
): Promise<FileContents> {
  const folder = await readModelFolder(files);
  const prefix = folder.encoderPath === '' ? '' : `${folder.encoderPath}/`;
  const contents: Record<string, Uint8Array> = {};
  for (const path of await files.list()) {
    if (!isReplaced(path, prefix)) contents[path] = await files.read(path);
  }
  const weights = folder.encoder === 'static' ? staticWeights : encoderWeights;
  contents[`${prefix}model.safetensors`] = await weights(folder.encoderFiles, model, trained);
  for (const [path, index] of await projectionModules(files)) {
    contents[`${path}/model.safetensors`] = await moduleWeights(subfolder(files, path), index, trained);
  }
  if (folder.encoder === 'transformer') {
    const definition = await readEncoder(subfolder(memoryModel(files.name, contents), folder.encoderPath));
    contents[`${prefix}onnx/model.onnx`] = recordEncoder(definition);
  }
  return contents;
}

/** Weights in every form, which would now be of another model, and the old model card. */
function isReplaced(path: string, prefix: string): boolean {
  const own = path.startsWith(prefix) ? path.slice(prefix.length) : path;
  return (
    path === 'README.md' ||
    own.startsWith('onnx/') ||
    own.startsWith('openvino/') ||
    /^(model.*\.safetensors(\.index\.json)?|.*\.(bin|h5|msgpack|onnx|ot))$/.test(own)
  );
}

async function encoderWeights(
  files: ModelFiles,
  { definition }: TrainableModel,
  trained: TrainedWeights,
): Promise<Uint8Array> {
  const tensors: Record<string, WritableTensor> = {};
  const stored = await readWeights(files);
  for (const name of stored.names().filter((each) => isFloat(stored.type(each)))) tensors[name] = stored.tensor(name);
  for (const [name, shape] of definition.weights) {
    const tensor = { shape, data: trained.get(name) ?? definition.weight(name) };
    for (const storedName of definition.storedNames(name)) tensors[storedName] = tensor;
  }
  return writeSafetensors(tensors, { format: 'pt' });
}

/** The table under the name it had: a mapping or weights of model2vec are part of it now. */
async function staticWeights(
  files: ModelFiles,
  { definition }: TrainableModel,
  trained: TrainedWeights,
): Promise<Uint8Array> {
  const name = (await readWeights(files)).has('embedding.weight') ? 'embedding.weight' : 'embeddings';
  const table = definition.tokenTable;
  return writeSafetensors(
    { [name]: { shape: definition.weights.get(table)!, data: trained.get(table) ?? definition.weight(table) } },
    { format: 'pt' },
  );
}

function isFloat(type: string): boolean {
  return type.startsWith('F') || type === 'BF16';
}

/** The folders of modules that are projections with weights, with their number among all projections. */
async function projectionModules(files: ModelFiles): Promise<[path: string, index: number][]> {
  const modules = ((await readJson(files, 'modules.json')) ?? []) as { type: string; path: string }[];
  const projections = modules.filter(({ type }) => /\.(Dense|LayerNorm|Normalize)$/.test(type));
  return projections.flatMap(({ type, path }, index) =>
    type.endsWith('.Normalize') ? [] : [[path, index] as [string, number]],
  );
}

/** How sentence-transformers calls the tensors of a projection. */
const storedNames = new Map([
  ['linear.weight', 'weight'],
  ['linear.bias', 'bias'],
  ['residual.weight', 'residualWeight'],
  ['norm.weight', 'weight'],
  ['norm.bias', 'bias'],
]);

async function moduleWeights(files: ModelFiles, index: number, trained: TrainedWeights): Promise<Uint8Array> {
  const stored = await readWeights(files);
  const tensors = stored.names().map((name): [string, WritableTensor] => {
    const part = storedNames.get(name);
    if (part === undefined)
      throw new SentvecError('invalid-model', `${files.name} has a tensor "${name}" that no projection has.`, {
        file: files.name,
      });
    const { shape, data } = stored.tensor(name);
    return [name, { shape, data: trained.get(`projection.${index}.${part}`) ?? data }];
  });
  return writeSafetensors(Object.fromEntries(tensors), { format: 'pt' });
}
