import { SentvecError, type ModelFiles } from '@sentvec/core';

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
 * The longest text, in tokens, that a model has positions for, by its `config.json`. An ONNX file does not tell.
 * @returns `Infinity` when the configuration sets no limit, or there is none
 * @throws SentvecError `invalid-model` when `config.json` is not JSON
 */
export async function configuredPositions(files: ModelFiles): Promise<number> {
  if (!(await files.list()).includes('config.json')) return Infinity;
  const config = parseConfig(await files.read('config.json'), `${files.name}/config.json`);
  const positions = config['max_position_embeddings'];
  if (typeof positions !== 'number' || !(positions > 0)) return Infinity;
  const padding = config['pad_token_id'];
  if (!countFromPadding.has(String(config['model_type']))) return positions;
  return positions - (typeof padding === 'number' ? padding : 1) - 1;
}

function parseConfig(bytes: Uint8Array, file: string): Record<string, unknown> {
  try {
    const config: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof config === 'object' && config !== null) return config as Record<string, unknown>;
    throw new TypeError('It is not an object.');
  } catch (cause) {
    throw new SentvecError(
      'invalid-model',
      `${file} is not a JSON object. Download the model again.`,
      { file },
      { cause },
    );
  }
}
