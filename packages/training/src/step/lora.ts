// LoRA (Hu et al., 2021): trains low-rank adapters of an encoder's linear layers, while its own weights are frozen.
import {
  OnnxRecorder,
  plainOperations,
  plainTensor,
  type EncoderDefinition,
  type OnnxTensor,
  type Operations,
  type WeightLookup,
} from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { Random } from '../random.ts';
import type { TrainableTensor } from './record-step.ts';
import type { TrainableModel } from './siamese.ts';

/** Options of {@link withLora}. Names in brackets are those of PEFT; the defaults are PEFT's too, where it has one. */
export interface LoraOptions {
  /** The rank of the adapter matrices (`r`). @default 8 */
  readonly rank?: number | undefined;
  /** The adapter's output is scaled by `alpha / rank` (`lora_alpha`). @default 8 */
  readonly alpha?: number | undefined;
  /**
   * The linear layers that get an adapter (`target_modules`): their names or suffixes of them, such as `query`.
   * @default 'all-linear': every linear layer of the encoder
   */
  readonly targets?: 'all-linear' | readonly string[] | undefined;
  /** Dropout rate of the adapter's input during training (`lora_dropout`). @default 0 */
  readonly dropout?: number | undefined;
  /** Seed of the initial weights of the adapters. @default 42 */
  readonly seed?: number | undefined;
}

const loraOptionNames: OptionNames<LoraOptions> = {
  rank: true,
  alpha: true,
  targets: true,
  dropout: true,
  seed: true,
};

/** The LoRA adapters of a model. */
export interface LoraAdapters {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** The layers with an adapter: the names of their weights without `.weight`. */
  readonly modules: readonly string[];
  /** Initial matrices: `MODULE.lora_A.weight` (`[rank, inputs]`) and `MODULE.lora_B.weight` (`[outputs, rank]`). */
  readonly tensors: readonly TrainableTensor[];
}

/**
 * Adds LoRA adapters to the linear layers of a model: x · Wᵀ becomes x · Wᵀ + alpha / rank · x · Aᵀ · Bᵀ. As in PEFT, A
 * is uniform between ±1 / √inputs (`kaiming_uniform_` with a = √5) and B is zero, so the initial model computes the
 * same as before. Only the adapters and the projections of the head are trained, see `trainedNames`. All other weights
 * need neither gradients nor optimizer state.
 * @throws SentvecError `invalid-argument` for an option that is out of range, or a target that the encoder does not
 * have
 */
export function withLora(model: TrainableModel, options: LoraOptions = {}): TrainableModel {
  checkOptionNames('withLora()', options, loraOptionNames);
  const { rank = 8, alpha = 8, targets = 'all-linear', dropout = 0, seed = 42 } = options;
  checkCount(rank, 'rank of LoRA');
  if (!(alpha > 0 && alpha < Infinity)) throw invalid(`alpha of LoRA is ${alpha}; it must be above 0.`);
  if (!(dropout >= 0 && dropout < 1)) throw invalid(`dropout of LoRA is ${dropout}; it must be from 0 to below 1.`);
  const { definition } = model;
  const modules = chosenModules(linearModules(definition), targets);
  const tensors = modules.flatMap((module, index): TrainableTensor[] => {
    const [outputs, inputs] = definition.weights.get(`${module}.weight`) as [number, number];
    const random = new Random(seed, index);
    const bound = 1 / Math.sqrt(inputs);
    const a = Float32Array.from({ length: rank * inputs }, () => (2 * random.uniform() - 1) * bound);
    return [
      { name: `${module}.lora_A.weight`, shape: [rank, inputs], data: a },
      { name: `${module}.lora_B.weight`, shape: [outputs, rank], data: new Float32Array(outputs * rank) },
    ];
  });
  return { ...model, adapters: { rank, alpha, dropout, modules, tensors } };
}

function invalid(message: string): SentvecError {
  return new SentvecError('invalid-argument', message);
}

/**
 * The linear layers of an encoder: the names of their weights without `.weight`. A linear layer is a weight that the
 * network multiplies rows with, without changing it first.
 */
function linearModules({ network, weights }: EncoderDefinition): string[] {
  // Recording the network lists its operations without computing anything. No ONNX model is written.
  const recorder = new OnnxRecorder();
  const tensors = new Map<string, OnnxTensor>();
  const names = new Map<OnnxTensor, string>();
  const found = new Set<string>();
  const weight: WeightLookup<OnnxTensor> = (name) => {
    const tensor = tensors.get(name) ?? recorder.input(name, 'float', weights.get(name)!);
    tensors.set(name, tensor);
    names.set(tensor, name);
    return tensor;
  };
  const noting: Operations<OnnxTensor> = {
    ...recorder.operations,
    linear(x, matrix, bias) {
      const name = names.get(matrix);
      if (name?.endsWith('.weight')) found.add(name.slice(0, -'.weight'.length));
      return recorder.operations.linear(x, matrix, bias);
    },
  };
  const [ids, mask] = ['ids', 'mask'].map((name) => recorder.input(name, 'index', ['batch', 'length']));
  network.encode(noting, weight, { ids: ids!, mask: mask! });
  return [...found];
}

function chosenModules(modules: readonly string[], targets: 'all-linear' | readonly string[]): readonly string[] {
  if (targets === 'all-linear' && modules.length > 0) return modules;
  if (targets === 'all-linear' || modules.length === 0)
    throw invalid('LoRA needs linear layers, but this encoder has none. Train all weights instead.');
  const fits = (module: string, target: string): boolean => module === target || module.endsWith(`.${target}`);
  const ends = [...new Set(modules.map((module) => module.slice(module.lastIndexOf('.') + 1)))];
  for (const target of targets.length === 0 ? [''] : targets) {
    if (modules.some((module) => fits(module, target))) continue;
    throw invalid(
      `targets of LoRA: no linear layer has the name or suffix "${target}". Suffixes of the layers: ${ends.join(', ')}. Full name of one layer: ${modules[0]}.`,
    );
  }
  return modules.filter((module) => targets.some((target) => fits(module, target)));
}

/**
 * Wraps operations and weights so that the encoder computes with its adapters.
 * @param drop applies dropout to the inputs of adapters, during training
 */
export function withAdapters<Tensor>(
  ops: Operations<Tensor>,
  weight: WeightLookup<Tensor>,
  { rank, alpha, dropout, modules }: LoraAdapters,
  drop?: (x: Tensor, rate: number) => Tensor,
): { readonly ops: Operations<Tensor>; readonly weight: WeightLookup<Tensor> } {
  const adapted = new Set(modules.map((module) => `${module}.weight`));
  const names = new Map<Tensor, string>();
  return {
    weight(name) {
      const found = weight(name);
      if (adapted.has(name)) names.set(found, name);
      return found;
    },
    ops: {
      ...ops,
      linear(x, matrix, bias) {
        const plain = ops.linear(x, matrix, bias);
        const module = names.get(matrix)?.slice(0, -'.weight'.length);
        if (module === undefined) return plain;
        const input = drop === undefined || dropout === 0 ? x : drop(x, dropout);
        const narrow = ops.linear(input, weight(`${module}.lora_A.weight`));
        const scaled = ops.multiply(narrow, alpha / rank);
        return ops.add(plain, ops.linear(scaled, weight(`${module}.lora_B.weight`)));
      },
    },
  };
}

/** The trained weights, with each adapter merged into its layer: W + alpha / rank · B · A. */
export function mergedWeights(
  { definition, adapters }: TrainableModel,
  trained: ReadonlyMap<string, Float32Array>,
): ReadonlyMap<string, Float32Array> {
  if (adapters === undefined) return trained;
  const { rank, alpha, modules, tensors } = adapters;
  const merged = new Map(trained);
  const ops = plainOperations;
  for (const module of modules) {
    const name = `${module}.weight`;
    const [a, b] = ['lora_A', 'lora_B'].map((part) => {
      const tensor = tensors.find((each) => each.name === `${module}.${part}.weight`)!;
      merged.delete(tensor.name);
      return plainTensor(trained.get(tensor.name) ?? tensor.data, tensor.shape);
    });
    const own = plainTensor(definition.weight(name), definition.weights.get(name)!);
    const product = ops.multiply(ops.matmul(b!, a!), alpha / rank);
    merged.set(name, Float32Array.from(ops.add(own, product).data));
  }
  return merged;
}
