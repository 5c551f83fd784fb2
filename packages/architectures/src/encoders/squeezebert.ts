// SqueezeBERT: BERT whose linear layers work in groups.
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import { groupedLinear } from './grouped-linear.ts';
import type { TransformerLayers } from './layers.ts';
import { bertTokenTable, type BertSizes, embed, readBertSizes } from './post-norm.ts';

/**
 * SqueezeBERT (Iandola et al., 2020), as `SqueezeBertModel` of transformers
 * (models/squeezebert/modeling_squeezebert.py), without its pooler. Weights are named as there, and stored as those of
 * convolutions over one position.
 */
export const squeezeBert: Architecture = (config) => {
  const sizes = {
    ...readBertSizes(config),
    tokenTypes: config.integer('type_vocab_size', { fallback: 2, smallest: 0 }),
  };
  config.onlySupports('embedding_size', sizes.hiddenSize);
  const groups = readGroups(config, sizes);
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      let x = embed(layers, layers.perRow(layers.ops.range(layers.length)), sizes);
      for (let layer = 0; layer < sizes.layers; layer += 1)
        x = encodeLayer(layers, `encoder.layers.${layer}`, x, sizes, groups);
      return x;
    },
  };
};

/** A layer that normalizes after each residual. */
function encodeLayer<T>(
  layers: TransformerLayers<T>,
  layer: string,
  x: T,
  { hiddenSize, intermediateSize, attention, activation, dropout, epsilon }: BertSizes,
  groups: Groups,
): T {
  const { ops } = layers;
  const linear = (name: string, input: T, inputs: number, outputs: number, count: number): T => {
    const weight = layers.weight(`${layer}.${name}.weight`, [outputs, inputs / count, 1]);
    const matrix = ops.reshape(weight, [outputs, inputs / count]);
    return groupedLinear(ops, input, matrix, layers.weight(`${layer}.${name}.bias`, [outputs]), count);
  };
  const square = (name: string, input: T, count: number): T => linear(name, input, hiddenSize, hiddenSize, count);
  const attended = layers.attention(
    square('attention.query', x, groups.query),
    square('attention.key', x, groups.key),
    square('attention.value', x, groups.value),
    attention,
  );
  const mixed = layers.dropout(square('post_attention.conv1d', attended, groups.postAttention), dropout);
  const middle = layers.layerNorm(`${layer}.post_attention.layernorm`, ops.add(mixed, x), epsilon);
  const grown = linear('intermediate.conv1d', middle, hiddenSize, intermediateSize, groups.intermediate);
  const output = linear('output.conv1d', activation(ops, grown), intermediateSize, hiddenSize, groups.output);
  return layers.layerNorm(`${layer}.output.layernorm`, ops.add(layers.dropout(output, dropout), middle), epsilon);
}

type Groups = ReturnType<typeof readGroups>;

function readGroups(config: ConfigReader, { hiddenSize, intermediateSize }: BertSizes) {
  const read = (key: string, fallback: number, ...widths: readonly number[]): number => {
    const groups = config.integer(key, { fallback });
    if (widths.every((width) => width % groups === 0)) return groups;
    throw config.unsupported(key, groups, `Widths of ${widths.join(' and ')} cannot be divided so.`);
  };
  return {
    query: read('q_groups', 4, hiddenSize),
    key: read('k_groups', 4, hiddenSize),
    value: read('v_groups', 4, hiddenSize),
    postAttention: read('post_attention_groups', 1, hiddenSize),
    intermediate: read('intermediate_groups', 4, hiddenSize, intermediateSize),
    output: read('output_groups', 4, hiddenSize, intermediateSize),
  };
}
