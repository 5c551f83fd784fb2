import type { ModelFiles } from '@sentvec/core';
import { readJsonObject } from '@sentvec/core/json';

/** Architectures of transformers whose position numbers start after the padding id. */
const startAfterPadding = new Set([
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
 * The maximum length of a text in tokens, from `config.json`. An ONNX file does not contain it.
 * @returns `Infinity` if the configuration sets no limit or is missing
 * @throws SentvecError `invalid-model` if `config.json` is not valid JSON
 */
export async function configuredPositions(files: ModelFiles): Promise<number> {
  const config = await readJsonObject(files, 'config.json');
  if (config === undefined) return Infinity;
  const positions = config['max_position_embeddings'];
  if (typeof positions !== 'number' || !(positions > 0)) return Infinity;
  const padding = config['pad_token_id'];
  if (!startAfterPadding.has(String(config['model_type']))) return positions;
  return positions - (typeof padding === 'number' ? padding : 1) - 1;
}
