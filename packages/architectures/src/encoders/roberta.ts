import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import type { TransformerLayers } from './layers.ts';
import { bertTokenTable, postNormEncoder, readBertSizes } from './post-norm.ts';
import { maskedLanguageHead, type MaskedLanguageHead } from './term-weights.ts';

/**
 * The position numbers of RoBERTa: padding id + 1, + 2, … for the tokens, and the padding id for padding. Like
 * `create_position_ids_from_input_ids` of transformers, the function recognizes padding by the ids, not by the mask.
 */
export function positionsAfterPadding<T>(layers: TransformerLayers<T>, paddingId: number): T {
  const { ops, ids } = layers;
  const real = ops.subtract(1, ops.equal(ops.toFloat(ids), paddingId));
  const count = ops.multiply(ops.cumulativeSum(real, 1), real);
  return layers.perRow(ops.toIndex(ops.add(count, paddingId)));
}

/** `RobertaLMHead` of transformers. Its activation is always GELU. */
export function robertaHead(config: ConfigReader, epsilon: number): MaskedLanguageHead {
  return maskedLanguageHead(config, {
    dense: 'lm_head.dense',
    activation: (ops, x) => ops.gelu(x),
    norm: 'lm_head.layer_norm',
    epsilon,
    tokenTable: bertTokenTable,
    decoder: 'lm_head.decoder.weight',
    bias: ['lm_head.bias', 'lm_head.decoder.bias'],
  });
}

/**
 * RoBERTa (Liu et al., 2019), XLM-RoBERTa and CamemBERT, like `RobertaModel` of transformers
 * (models/roberta/modeling_roberta.py) without its pooler: BERT whose position numbers start after the padding id.
 * Weights have the names of transformers.
 */
export const roberta: Architecture = (config) => {
  const sizes = readBertSizes(config, { tokenTypes: 2 });
  const paddingId = config.integer('pad_token_id', { fallback: 1, smallest: 0 });
  return {
    maxPositions: config.positionsAfter(paddingId, sizes.positions),
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode: (layers) => postNormEncoder(layers, positionsAfterPadding(layers, paddingId), sizes),
    maskedLanguageHead: robertaHead(config, sizes.epsilon),
  };
};
