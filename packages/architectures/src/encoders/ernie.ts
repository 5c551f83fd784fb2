import type { Architecture } from './architecture.ts';
import { bertTokenTable, postNormEncoder, readBertSizes } from './post-norm.ts';

/**
 * ERNIE (Sun et al., 2019 and 2020), like `ErnieModel` of transformers (models/ernie/modeling_ernie.py) without its
 * pooler: BERT, in version 2 with an embedding of the task type, which is always 0, as in transformers. Weights have
 * the names of transformers.
 */
export const ernie: Architecture = (config) => {
  const taskTypes = config.integer('task_type_vocab_size', { fallback: 3 });
  const sizes = {
    ...readBertSizes(config, { tokenTypes: 2 }),
    taskTypes: config.flag('use_task_id', false) ? taskTypes : 0,
  };
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode: (layers) => postNormEncoder(layers, layers.rowPositions(), sizes),
  };
};
