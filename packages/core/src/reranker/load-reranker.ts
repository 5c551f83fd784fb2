// Loads a reranker from a model folder.
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { loadModelParts } from '../embedder/assemble-parts.ts';
import type { LoadEmbedderOptions } from '../embedder/load-embedder.ts';
import { readRerankerFolder } from '../model-folder/reranker-folder.ts';
import type { ModelFiles } from '../types.ts';
import { pairTokenizerOf } from './pair-tokenizer.ts';
import { createReranker } from './reranker.ts';
import type { Reranker, RerankReceipt } from './reranker-types.ts';

/** Options of {@link loadReranker}. */
export type LoadRerankerOptions = Pick<
  LoadEmbedderOptions,
  'backend' | 'tokenizer' | 'maxLength' | 'selfCheck' | 'signal' | 'onWarning'
> & {
  /** Called with the receipt of each `rank` and `score` that succeeded: for metrics. */
  readonly onReceipt?: ((receipt: RerankReceipt) => void) | undefined;
};

/** Names of the options of {@link loadReranker}, for callers that separate them from their own options. */
export const loadRerankerOptionNames: OptionNames<LoadRerankerOptions> = {
  backend: true,
  tokenizer: true,
  maxLength: true,
  selfCheck: true,
  signal: true,
  onReceipt: true,
  onWarning: true,
};

/**
 * Loads a reranker (a cross-encoder) from its folder, in the format of sentence-transformers 2 to 6 or transformers.
 * The head, the pair template and the activation are read from the folder.
 * @throws SentvecError `unsupported-model` for another kind of model; `invalid-model`, `invalid-argument`,
 * `backend-unavailable`, `backend-failed`, `backend-wrong`, `missing-dependency`, `aborted`
 */
export async function loadReranker(model: ModelFiles, options: LoadRerankerOptions = {}): Promise<Reranker> {
  checkOptionNames('loadReranker()', options, loadRerankerOptionNames);
  const { onReceipt, ...others } = options;
  const { folder, definition, parts } = await loadModelParts(model, { ...others, pairs: true }, (files, loading) =>
    readRerankerFolder(
      files,
      async ({ encoderFiles }) => (await loading.loadEncoder(encoderFiles, options.signal)).pooledOutput,
    ),
  );
  const { tokenizer, encoder, backend, head, maxLength, selfCheck, notes = [] } = parts;
  const { labels, activation, prompts, defaultPrompt } = folder;
  try {
    return createReranker({
      model,
      tokenizer,
      encoder,
      backend,
      head,
      labels,
      activation,
      maxLength,
      pairTokenizer: await pairTokenizerOf(folder, tokenizer, definition, model.name),
      prompts,
      defaultPrompt,
      selfCheck,
      onReceipt,
      notes,
    });
  } catch (error) {
    await Promise.all([tokenizer.dispose(), encoder.dispose()]);
    throw error;
  }
}
