import type { Architecture } from './architecture.ts';
import { bertTokenTable, embedAndProject, postNormLayers, readBertSizes } from './post-norm.ts';

/**
 * ELECTRA (Clark et al., 2020), as `ElectraModel` of transformers (models/electra/modeling_electra.py): BERT whose
 * embeddings may be narrower than its layers. Weights are named as there.
 */
export const electra: Architecture = (config) => {
  const sizes = {
    ...readBertSizes(config),
    embeddingSize: config.integer('embedding_size', { fallback: 128 }),
    tokenTypes: config.integer('type_vocab_size', { fallback: 2, smallest: 0 }),
  };
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const embeddings = embedAndProject(layers, layers.perRow(layers.ops.range(layers.length)), sizes);
      return postNormLayers(layers, embeddings, sizes);
    },
  };
};
