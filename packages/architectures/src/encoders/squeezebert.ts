// SqueezeBERT: BERT with grouped linear layers.
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import { groupedLinear } from './grouped-linear.ts';
import type { TransformerLayers } from './layers.ts';
import { bertTokenTable, type BertSizes, embed, postNorm, readBertSizes } from './post-norm.ts';

/**
 * SqueezeBERT (Iandola et al., 2020), like `SqueezeBertModel` of transformers
 * (models/squeezebert/modeling_squeezebert.py) without its pooler. Weights have the names of transformers, and the
 * shapes of convolutions with kernel size 1.
 */
export const squeezeBert: Architecture = (config) => {
  const sizes = readBertSizes(config, { tokenTypes: 2 });
  config.onlySupports('embedding_size', sizes.hiddenSize);
  const groups = readGroups(config, sizes);
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      let x = embed(layers, layers.rowPositions(), sizes);
      for (let layer = 0; layer < sizes.layers; layer += 1) {
        layers.beginLayer(x);
        x = encodeLayer(layers, `encoder.layers.${layer}`, x, sizes, groups);
      }
      return x;
    },
  };
};

/** The epsilon of the normalizations in the layers. `layer_norm_eps` is used for the embeddings only. */
const epsilon = 1e-12;

/** A layer of BERT with grouped linear layers. */
function encodeLayer<T>(
  layers: TransformerLayers<T>,
  layer: string,
  x: T,
  { hiddenSize, intermediateSize, attention, activation, dropout }: BertSizes,
  groups: Groups,
): T {
  const { ops } = layers;
  const linear = (name: string, input: T, inputs: number, outputs: number, count: number): T => {
    const weight = layers.weight(`${layer}.${name}.weight`, [outputs, inputs / count, 1]);
    const matrix = ops.reshape(weight, [outputs, inputs / count]);
    return groupedLinear(ops, input, matrix, layers.weight(`${layer}.${name}.bias`, [outputs]), count);
  };
  const square = (name: string, input: T, count: number): T => linear(name, input, hiddenSize, hiddenSize, count);
  return postNorm(
    layers,
    x,
    { epsilon, dropout },
    {
      attend: (input) => {
        const attended = layers.attention(
          square('attention.query', input, groups.query),
          square('attention.key', input, groups.key),
          square('attention.value', input, groups.value),
          attention,
        );
        return square('post_attention.conv1d', attended, groups.postAttention);
      },
      attentionNorm: `${layer}.post_attention.layernorm`,
      feedForward: (input) => {
        const grown = linear('intermediate.conv1d', input, hiddenSize, intermediateSize, groups.intermediate);
        return linear('output.conv1d', activation(ops, grown), intermediateSize, hiddenSize, groups.output);
      },
      outputNorm: `${layer}.output.layernorm`,
    },
  );
}

type Groups = ReturnType<typeof readGroups>;

function readGroups(config: ConfigReader, { hiddenSize, intermediateSize }: BertSizes) {
  const read = (key: string, fallback: number, ...widths: readonly number[]): number => {
    const groups = config.integer(key, { fallback });
    if (widths.every((width) => width % groups === 0)) return groups;
    throw config.unsupported(key, groups, `The number of groups must divide ${widths.join(' and ')}.`);
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
