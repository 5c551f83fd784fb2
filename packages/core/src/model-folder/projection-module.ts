// Reads the modules that follow the pooling (Dense, LayerNorm, Normalize, Dropout), with their weights.
import { isActivation } from '../projection/activation.ts';
import { SentvecError } from '../errors.ts';
import { readWeights, type Weights } from '../weights/read-weights.ts';
import type { Activation, Matrix, ModelFiles, Projection } from '../types.ts';
import { readConfigFile, requireConfigFile, type ConfigFile } from './config-file.ts';
import { filePath, lastSegment, type ModelModule } from './modules.ts';

/** Default epsilon of `torch.nn.LayerNorm`; the module's config cannot change it. */
const layerNormEpsilon = 1e-5;

type Reader = (files: ModelFiles, module: ModelModule, feature: Feature) => Promise<Projection | undefined>;

/**
 * What a projection is applied to: the pooled vector (`sentence_embedding`) or each token's vector
 * (`token_embeddings`). `scores`: the pooled vector of a reranker, whose last projection computes the scores.
 */
export type Feature = 'sentence_embedding' | 'token_embeddings' | 'scores';

const readers: Readonly<Record<string, Reader>> = {
  Dense: readDense,
  LayerNorm: readLayerNorm,
  Normalize: async (files, { path }, feature) => {
    const config = await readConfigFile(files, filePath(path, 'config.json'));
    if (config !== undefined) checkFeatures(config, feature);
    return { kind: 'normalize' };
  },
  // Dropout has no effect at inference.
  Dropout: async () => undefined,
};

/** Whether {@link readProjectionModule} knows modules of this kind. */
export function isProjectionKind(kind: string): boolean {
  return Object.hasOwn(readers, kind);
}

/**
 * Reads a module that follows the encoder or the pooling; `undefined` for a module without effect (Dropout).
 * @param feature the required input of the module; a module that does not name its input is accepted
 * @throws SentvecError `invalid-model`, `unsupported-model` for an unknown activation or another input
 */
export async function readProjectionModule(
  files: ModelFiles,
  module: ModelModule,
  feature: Feature = 'sentence_embedding',
): Promise<Projection | undefined> {
  return readers[module.kind]?.(files, module, feature);
}

/** `sentence_transformers/base/modules/dense.py` */
async function readDense(files: ModelFiles, { path }: ModelModule, wanted: Feature): Promise<Projection> {
  const config = await requireConfigFile(files, filePath(path, 'config.json'));
  checkFeatures(config, wanted);
  const inputs = config.required('in_features', config.size('in_features'));
  const outputs = config.required('out_features', config.size('out_features'));
  const hasBias = config.boolean('bias') ?? true;
  const residual = config.boolean('use_residual') ?? false;
  const activation = readActivation(config);
  const weights = await readModuleWeights(files, path);
  if (weights.has('linear.bias') !== hasBias) {
    throw new SentvecError(
      'invalid-model',
      `${config.file} sets "bias" to ${hasBias}, but the module's weights ${hasBias ? 'have no' : 'have a'} tensor "linear.bias".`,
      { file: config.file },
    );
  }
  return {
    kind: 'dense',
    weight: matrixOf(weights, 'linear.weight', [outputs, inputs], config.file),
    activation,
    ...(hasBias && { bias: tensorOf(weights, 'linear.bias', [outputs], config.file) }),
    ...(residual && { residual }),
    ...(residual &&
      inputs !== outputs && { residualWeight: matrixOf(weights, 'residual.weight', [outputs, inputs], config.file) }),
  };
}

/** `sentence_transformers/sentence_transformer/modules/layer_norm.py` */
async function readLayerNorm(files: ModelFiles, { path }: ModelModule): Promise<Projection> {
  const config = await requireConfigFile(files, filePath(path, 'config.json'));
  const size = config.required('dimension', config.size('dimension'));
  const weights = await readModuleWeights(files, path);
  const weight = tensorOf(weights, 'norm.weight', [size], config.file);
  const bias = tensorOf(weights, 'norm.bias', [size], config.file);
  return { kind: 'layer-norm', weight, bias, epsilon: layerNormEpsilon };
}

/** A class path such as `torch.nn.modules.activation.Tanh`; the default of sentence-transformers is Tanh. */
function readActivation(config: ConfigFile): Activation {
  const classPath = config.string('activation_function');
  if (classPath === undefined) return 'Tanh';
  const name = lastSegment(classPath);
  if (isActivation(name)) return name;
  throw new SentvecError(
    'unsupported-model',
    `${config.file} names the activation "${classPath}", which sentvec does not support.`,
    {
      file: config.file,
      activation: classPath,
    },
  );
}

/** Checks the names of the module's input and output, if the config has them. */
function checkFeatures(config: ConfigFile, wanted: Feature): void {
  const applied = wanted === 'scores' ? 'sentence_embedding' : wanted;
  for (const key of ['module_input_name', 'module_output_name']) {
    const feature = config.string(key) ?? applied;
    if (feature === applied || (key === 'module_output_name' && feature === wanted)) continue;
    throw new SentvecError(
      'unsupported-model',
      `${config.file} sets "${key}" to "${feature}"; sentvec supports only "${applied}" for this module.`,
      {
        file: config.file,
      },
    );
  }
}

function readModuleWeights(files: ModelFiles, path: string): Promise<Weights> {
  return readWeights(files, filePath(path, 'model.safetensors'));
}

function tensorOf(weights: Weights, name: string, shape: readonly number[], configFile: string): Float32Array {
  const tensor = weights.tensor(name);
  if (tensor.shape.length === shape.length && tensor.shape.every((size, axis) => size === shape[axis]))
    return tensor.data;
  throw new SentvecError(
    'invalid-model',
    `The tensor "${name}" has the shape [${tensor.shape.join(', ')}], but ${configFile} requires [${shape.join(', ')}].`,
    { file: configFile, tensor: name },
  );
}

function matrixOf(weights: Weights, name: string, [rows, cols]: readonly [number, number], configFile: string): Matrix {
  return { data: tensorOf(weights, name, [rows, cols], configFile), rows, cols };
}
