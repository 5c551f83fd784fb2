import type { Architecture } from './architecture.ts';
import { bertTokenTable, readBertSizes } from './post-norm.ts';
import { preNormEncoder } from './pre-norm.ts';
import { positionsAfterPadding } from './roberta.ts';

const names = {
  attentionNorm: 'attention.self_attn_layer_norm',
  intermediateNorm: 'LayerNorm',
  finalNorm: 'encoder.LayerNorm',
};

/**
 * XLM-RoBERTa-XL and -XXL (Goyal et al., 2021), like `XLMRobertaXLModel` of transformers
 * (models/xlm_roberta_xl/modeling_xlm_roberta_xl.py) without its pooler: pre-norm RoBERTa. Weights have the names of
 * transformers.
 */
export const xlmRobertaXl: Architecture = (config) => {
  const sizes = {
    ...readBertSizes(config, { tokenTypes: 1 }),
    epsilon: config.epsilon('layer_norm_eps', 1e-5),
    outputDropout: 0,
  };
  const paddingId = config.integer('pad_token_id', { fallback: 1, smallest: 0 });
  return {
    maxPositions: config.positionsAfter(paddingId, sizes.positions),
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode: (layers) => preNormEncoder(layers, positionsAfterPadding(layers, paddingId), sizes, names),
  };
};
