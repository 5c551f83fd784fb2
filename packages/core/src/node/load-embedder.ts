import { loadEmbedder as loadModel, type LoadEmbedderOptions } from '../embedder/load-embedder.ts';
import type { Embedder } from '../embedder/embedder-types.ts';
import type { ModelFiles } from '../types.ts';
import { nodeTokenizer } from './node-tokenizer.ts';
import { openModel, type OpenModelOptions } from './open-model.ts';

/**
 * Loads a model by its name (a folder, or `org/name` on the Hugging Face hub) or from its files. As `loadEmbedder` of
 * `@sentvec/core`, with the native tokenizer when the package `tokenizers` is installed, in a thread of its own.
 * @throws SentvecError as there, and `model-not-found`, `model-access-denied`, `download-failed`
 */
export async function loadEmbedder(
  model: string | ModelFiles,
  options: LoadEmbedderOptions & OpenModelOptions = {},
): Promise<Embedder> {
  const files = typeof model === 'string' ? await openModel(model, options) : model;
  return loadModel(files, { tokenizer: nodeTokenizer(), ...options });
}
