// The weights of the published graph under the names and in the layout that the architecture has.
import { type WritableTensor, writeSafetensors } from '@sentvec/core';
import type { Source, SourceTensor } from './source.ts';

/** `config.json`: what `@sentvec/architectures` needs to know to rebuild the encoder. */
export const encoderConfig: Readonly<Record<string, unknown>> = {
  model_type: 'universal-sentence-encoder-lite',
  architectures: ['UniversalSentenceEncoderLite'],
  vocab_size: 8002,
  embedding_size: 256,
  hidden_size: 512,
  intermediate_size: 1536,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 128,
  hidden_act: 'relu',
  layer_norm_eps: 1e-6,
  hidden_dropout_prob: 0,
  attention_probs_dropout_prob: 0,
  pad_token_id: 3,
};

const folded = '/ConcatPartitions/concat';
const layerOf = (layer: number): string => `Encode/Layer_${layer}/TransformerLayer`;
const stackOf = (layer: number): string => `Encode/TransformerStack/Layer_${layer}/TransformerLayer`;

/**
 * `model.safetensors`: the graph's weights under the names of `@sentvec/architectures`, linear layers turned to [out,
 * in].
 */
export function encoderWeights(tensors: Source['tensors']): Uint8Array {
  const find = finder(tensors);
  const weights: Record<string, WritableTensor> = { 'embeddings.word_embeddings.weight': find('module/Embeddings_en') };
  const put = (name: string, kernel: SourceTensor, bias: SourceTensor): void => {
    weights[`${name}.weight`] = kernel.shape.length > 1 ? transposed(kernel) : kernel;
    weights[`${name}.bias`] = bias;
  };
  for (const layer of [0, 1]) {
    const [to, from, stack] = [`encoder.layer.${layer}`, layerOf(layer), stackOf(layer)];
    const norm = (name: string, source: string): void =>
      put(
        name,
        find(`${source}/layer_norm/layer_norm_scale${folded}`),
        find(`${source}/layer_norm/layer_norm_bias${folded}`),
      );
    norm(`${to}.attention.LayerNorm`, `${from}/layer_prepostprocess`);
    const attention = `${from}/MultiheadAttention`;
    const kernels = columns(find(`${attention}/qkv_transform_single/kernel/part_0`), 3);
    const biases = columns(find(`${attention}/qkv_transform_single/bias${folded}`), 3);
    for (const [part, name] of ['query', 'key', 'value'].entries())
      put(`${to}.attention.${name}`, kernels[part]!, biases[part]!);
    put(
      `${to}.attention.output`,
      find(`${attention}/output_transform_single/kernel/part_0`),
      find(`${attention}/output_transform_single/bias${folded}`),
    );
    if (layer === 0)
      put(`${to}.attention.residual`, find(`${from}/dense/kernel${folded}`), find(`${from}/dense/bias${folded}`));
    norm(`${to}.feed_forward.LayerNorm`, `${from}/FFN/layer_prepostprocess`);
    put(
      `${to}.feed_forward.intermediate`,
      find(`${stack}/FFN/conv1/Tensordot/Reshape_1`),
      find(`${from}/FFN/conv1/bias${folded}`),
    );
    put(
      `${to}.feed_forward.output`,
      find(`${stack}/FFN/conv2/Tensordot/Reshape_1`),
      find(`${from}/FFN/conv2/bias${folded}`),
    );
  }
  return writeSafetensors(weights, { format: 'pt' });
}

/** `2_Dense/model.safetensors`: the layer between the mean and the final vector. */
export function denseWeights(tensors: Source['tensors']): Uint8Array {
  const find = finder(tensors);
  const weight = transposed(find('hidden_layers/tanh_layer_0/weights'));
  return writeSafetensors(
    { 'linear.weight': weight, 'linear.bias': find('hidden_layers/tanh_layer_0/bias') },
    { format: 'pt' },
  );
}

/**
 * Finds a tensor by the end of its name. The source's hashes are pinned, so a tensor that is not found is a mistake in
 * this file.
 */
function finder(tensors: Source['tensors']): (ending: string) => SourceTensor {
  return (ending) => {
    const found = [...tensors].filter(([name]) => name.endsWith(ending));
    if (found.length !== 1) throw new Error(`${found.length} tensors of the graph end in ${ending}.`);
    return found[0]![1];
  };
}

/** The last axis cut into `parts` equal pieces. Kernels of 1 × 1 convolutions lose their first two axes. */
function columns({ shape, data }: SourceTensor, parts: number): SourceTensor[] {
  const width = shape.at(-1)!;
  const size = width / parts;
  const rows = data.length / width;
  return Array.from({ length: parts }, (_, part) => {
    const piece = new Float32Array(rows * size);
    for (let row = 0; row < rows; row++)
      piece.set(data.subarray(row * width + part * size, row * width + (part + 1) * size), row * size);
    return { shape: shape.length === 1 ? [size] : [rows, size], data: piece };
  });
}

function transposed({ shape, data }: SourceTensor): SourceTensor {
  const cols = shape.at(-1)!;
  const rows = data.length / cols;
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < cols; column++) result[column * rows + row] = data[row * cols + column]!;
  }
  return { shape: [cols, rows], data: result };
}
