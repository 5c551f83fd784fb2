// MPNet: BERT with the position numbers of RoBERTa and a relative position bias.
import type { Architecture } from './architecture.ts';
import { attend, bertTokenTable, embed, type PostNormNames, postNormLayers, readBertSizes } from './post-norm.ts';
import { relativeBias } from './relative-bias.ts';
import { positionsAfterPadding, robertaHead } from './roberta.ts';

const names: PostNormNames = {
  layer: 'encoder.layer',
  query: 'attention.attn.q',
  key: 'attention.attn.k',
  value: 'attention.attn.v',
  attentionOutput: 'attention.attn.o',
  attentionNorm: 'attention.LayerNorm',
  intermediate: 'intermediate.dense',
  output: 'output.dense',
  outputNorm: 'output.LayerNorm',
};

const paddingId = 1;
/** Distances of at least this many positions share the last bucket. */
const maxDistance = 128;

/**
 * MPNet (Song et al., 2020), like `MPNetModel` of transformers (models/mpnet/modeling_mpnet.py) without its pooler:
 * BERT without token types, with the position numbers of RoBERTa and one relative position bias for all layers. Weights
 * have the names of transformers.
 */
export const mpnet: Architecture = (config) => {
  const sizes = readBertSizes(config);
  const buckets = config.integer('relative_attention_num_buckets', { fallback: 32, smallest: 4 });
  return {
    maxPositions: config.positionsAfter(paddingId, sizes.positions),
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    maskedLanguageHead: robertaHead(config, sizes.epsilon),
    encode(layers) {
      const positions = positionsAfterPadding(layers, paddingId);
      const embeddings = embed(layers, positions, sizes);
      const table = 'encoder.relative_attention_bias.weight';
      const distanceBias = relativeBias(layers, table, { buckets, maxDistance }, sizes.attention.heads);
      return postNormLayers(layers, embeddings, sizes, names, (layer, x) =>
        attend(layers, layer, x, sizes, names, { distanceBias }),
      );
    },
  };
};
