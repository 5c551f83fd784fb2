import type { Architecture } from './architecture.ts';
import { bertTokenTable, postNormEncoder, readBertSizes } from './post-norm.ts';
import { maskedLanguageHead } from './term-weights.ts';

/**
 * BERT (Devlin et al., 2018), like `BertModel` of transformers (models/bert/modeling_bert.py) without its pooler.
 * Weights have the names of transformers. Positions count from 0.
 */
export const bert: Architecture = (config) => {
  const sizes = readBertSizes(config, { tokenTypes: 2 });
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode: (layers) => postNormEncoder(layers, layers.rowPositions(), sizes),
    maskedLanguageHead: maskedLanguageHead(config, {
      dense: 'cls.predictions.transform.dense',
      activation: sizes.activation,
      norm: 'cls.predictions.transform.LayerNorm',
      epsilon: sizes.epsilon,
      tokenTable: bertTokenTable,
      decoder: 'cls.predictions.decoder.weight',
      bias: ['cls.predictions.bias', 'cls.predictions.decoder.bias'],
    }),
  };
};
