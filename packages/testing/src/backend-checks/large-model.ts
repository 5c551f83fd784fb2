import { memoryModel, writeSafetensors, type ModelFiles, type WritableTensor } from '@sentvec/core';

const hidden = 128;
const intermediate = 256;
const vocabulary = 30_000;
const positions = 32;

/** Bytes of the weights of {@link largeModel}: enough that a few copies of them are seen in the memory of a process. */
export const largeModelSize: number = 4 * vocabulary * hidden;

/**
 * A BERT of one layer with a large table of token embeddings, in memory; all weights are small numbers of a simple
 * pattern.
 */
export function largeModel(): ModelFiles {
  const tensors: Record<string, WritableTensor> = {};
  const matrix = (name: string, ...shape: number[]): void => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    tensors[name] = { shape, data: Float32Array.from({ length }, (_, index) => ((index * 7919) % 101) / 1010 - 0.05) };
  };
  const linear = (name: string, inputs: number, outputs: number): void => {
    matrix(`${name}.weight`, outputs, inputs);
    matrix(`${name}.bias`, outputs);
  };
  const norm = (name: string): void => {
    matrix(`${name}.weight`, hidden);
    matrix(`${name}.bias`, hidden);
  };
  matrix('embeddings.word_embeddings.weight', vocabulary, hidden);
  matrix('embeddings.position_embeddings.weight', positions, hidden);
  matrix('embeddings.token_type_embeddings.weight', 2, hidden);
  norm('embeddings.LayerNorm');
  const layer = 'encoder.layer.0';
  for (const part of ['self.query', 'self.key', 'self.value', 'output.dense'])
    linear(`${layer}.attention.${part}`, hidden, hidden);
  norm(`${layer}.attention.output.LayerNorm`);
  linear(`${layer}.intermediate.dense`, hidden, intermediate);
  linear(`${layer}.output.dense`, intermediate, hidden);
  norm(`${layer}.output.LayerNorm`);
  const config = {
    model_type: 'bert',
    hidden_size: hidden,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    intermediate_size: intermediate,
    vocab_size: vocabulary,
    max_position_embeddings: positions,
    type_vocab_size: 2,
    pad_token_id: 0,
  };
  return memoryModel('large-model', {
    'config.json': JSON.stringify(config),
    'model.safetensors': writeSafetensors(tensors),
  });
}
