// Loads a model of any kind: chooses the loader by the configuration in the model folder.
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { loadEmbedder, type LoadEmbedderOptions } from './embedder/load-embedder.ts';
import type { Embedder } from './embedder/embedder-types.ts';
import type { MultiVectorEmbedder } from './multi-vector/multi-vector-types.ts';
import { listedOnce } from './model-folder/model-files.ts';
import { readModelKind } from './model-folder/model-kind.ts';
import type { Reranker } from './reranker/reranker-types.ts';
import type { SparseEmbedder } from './sparse/sparse-types.ts';
import type { ModelFiles } from './types.ts';

/** A loaded model; `kind` says of which kind it is. */
export type LoadedModel = Embedder | Reranker | MultiVectorEmbedder | SparseEmbedder;

/** Options of {@link loadModel}: those that all loaders have. */
export type LoadModelOptions = Pick<
  LoadEmbedderOptions,
  'backend' | 'tokenizer' | 'maxLength' | 'selfCheck' | 'signal' | 'onWarning'
>;

/** Names of the options of {@link loadModel}, for callers that separate them from their own options. */
export const loadModelOptionNames: OptionNames<LoadModelOptions> = {
  backend: true,
  tokenizer: true,
  maxLength: true,
  selfCheck: true,
  signal: true,
  onWarning: true,
};

/**
 * Loads a model folder of any supported kind. If you know the kind, use its own loader, which has more options.
 * @throws SentvecError `unsupported-model` for an unknown kind; otherwise as the loader of the kind
 */
export async function loadModel(model: ModelFiles, options: LoadModelOptions = {}): Promise<LoadedModel> {
  checkOptionNames('loadModel()', options, loadModelOptionNames);
  switch (await readModelKind(listedOnce(model))) {
    case 'multi-vector': {
      const { maxLength: documentLength, ...others } = options;
      const { loadMultiVectorEmbedder } = await import('./multi-vector/load-multi-vector-embedder.ts');
      return loadMultiVectorEmbedder(model, { ...others, documentLength });
    }
    case 'sparse': {
      const { loadSparseEmbedder } = await import('./sparse/load-sparse-embedder.ts');
      return loadSparseEmbedder(model, options);
    }
    case 'reranker':
      return (await import('./reranker/load-reranker.ts')).loadReranker(model, options);
    default:
      return loadEmbedder(model, options);
  }
}
