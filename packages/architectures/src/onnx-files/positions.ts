import type { ModelFiles } from '@sentvec/core';
import { readJsonObject } from '@sentvec/core/json';

/** Architectures of transformers whose positions begin after the number of the padding token. */
const countFromPadding = new Set([
  'roberta',
  'xlm-roberta',
  'xlm-roberta-xl',
  'camembert',
  'mpnet',
  'longformer',
  'data2vec-text',
  'esm',
  'xmod',
]);

/**
 * The longest text, in tokens, that a model has positions for, by its `config.json`: an ONNX file does not say.
 * @returns `Infinity` when the configuration sets no limit, or there is none
 * @throws SentvecError `invalid-model` when `config.json` is not JSON
 */
export async function configuredPositions(files: ModelFiles): Promise<number> {
  const config = await readJsonObject(files, 'config.json');
  if (config === undefined) return Infinity;
  const positions = config['max_position_embeddings'];
  if (typeof positions !== 'number' || !(positions > 0)) return Infinity;
  const padding = config['pad_token_id'];
  if (!countFromPadding.has(String(config['model_type']))) return positions;
  return positions - (typeof padding === 'number' ? padding : 1) - 1;
}
