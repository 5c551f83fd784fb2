import type { Architecture } from './architecture.ts';
import { bertTokenTable, readBertSizes } from './post-norm.ts';
import { preNormEncoder } from './pre-norm.ts';

const names = { attentionNorm: 'attention.ln', intermediateNorm: 'ln', finalNorm: 'encoder.ln' };

/**
 * The BERT of Megatron-LM (Shoeybi et al., 2019), like `MegatronBertModel` of transformers
 * (models/megatron_bert/modeling_megatron_bert.py) without its pooler: pre-norm BERT. Weights have the names of
 * transformers.
 */
export const megatronBert: Architecture = (config) => {
  const sizes = readBertSizes(config, { tokenTypes: 2 });
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode: (layers) => preNormEncoder(layers, layers.rowPositions(), sizes, names),
  };
};
