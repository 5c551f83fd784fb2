// From the folder of a sparse model to its embedder.
import { checkCount, checkOptionNames, sha256, warn, type OptionNames } from '@sentvec/platform';
import type { Embedder, Receipt } from '../embedder/embedder-types.ts';
import { loadEmbedder, type LoadEmbedderOptions } from '../embedder/load-embedder.ts';
import { SentvecError } from '../errors.ts';
import { graphPooling, termWeightsOutput } from '../pooling/pooling.ts';
import { readTokenizerDefinition } from '../tokenizer/definition.ts';
import { javaScriptTokenizer } from '../tokenizer/javascript-tokenizer.ts';
import { tokensById } from '../tokenizer/vocabulary.ts';
import type { ModelFiles } from '../types.ts';
import { readSparseFolder, type SparseRoute } from './read-sparse-folder.ts';
import { TermEmbedder, type SparseRunner } from './sparse-embedder.ts';
import type { SparseEmbedder } from './sparse-types.ts';
import { StaticQueries } from './static-queries.ts';

/** Options of {@link loadSparseEmbedder}. */
export interface LoadSparseEmbedderOptions extends Pick<
  LoadEmbedderOptions,
  'backend' | 'tokenizer' | 'maxLength' | 'selfCheck' | 'signal' | 'onWarning'
> {
  /**
   * Keeps the largest entries of each vector, at most so many.
   * @default all
   */
  readonly maxActiveDims?: number | undefined;
  /** Called with the receipt of each call that succeeded: for metrics. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
}

/** Names of the options of {@link loadSparseEmbedder}, for callers that have to tell them from their own. */
export const loadSparseOptionNames: OptionNames<LoadSparseEmbedderOptions> = {
  backend: true,
  tokenizer: true,
  maxLength: true,
  selfCheck: true,
  signal: true,
  onWarning: true,
  maxActiveDims: true,
  onReceipt: true,
};

/**
 * Loads a sparse model: SPLADE with an encoder of BERT, DistilBERT, RoBERTa, MPNet or ModernBERT for queries and
 * documents, or a model whose queries need no encoder, since a table weighs their tokens (Formal et al. 2021, SPLADE v2;
 * Geng et al. 2024, inference-free retrievers).
 * @throws SentvecError `invalid-model`, `unsupported-model` (also for models of other kinds, by name),
 * `invalid-argument`, `backend-unavailable`, `backend-failed`, `backend-wrong`, `missing-dependency`, `aborted`
 */
export async function loadSparseEmbedder(
  model: ModelFiles,
  options: LoadSparseEmbedderOptions = {},
): Promise<SparseEmbedder> {
  checkOptionNames('loadSparseEmbedder()', options, loadSparseOptionNames);
  const { maxActiveDims, onReceipt, onWarning = warn } = options;
  if (maxActiveDims !== undefined) checkCount(maxActiveDims, 'maxActiveDims');
  const folder = await readSparseFolder(model);
  for (const note of folder.notes) onWarning(note);
  const runners = await loadRunners(folder.routes, options);
  const { prompts, defaultPrompt, similarityFunction, notes } = folder;
  const terms = async (): Promise<readonly (string | undefined)[]> =>
    tokensById((await readTokenizerDefinition(folder.routes.document.files)).json);
  const settings = { prompts, defaultPrompt, similarityFunction, maxActiveDims, notes, onReceipt };
  return new TermEmbedder({ ...settings, model, runners, terms });
}

type Routes = Awaited<ReturnType<typeof readSparseFolder>>['routes'];

/** What both roles need, loaded at the same time; routes that are one are loaded once. */
async function loadRunners(
  { query, document }: Routes,
  options: LoadSparseEmbedderOptions,
): Promise<{ readonly query: SparseRunner; readonly document: SparseRunner }> {
  const isOne = query.kind === 'encoder' && document.kind === 'encoder' && query.path === document.path;
  const loading = [document, ...(isOne ? [] : [query])].map((route) => loadRunner(route, options));
  const settled = await Promise.allSettled(loading);
  const loaded = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  try {
    for (const each of settled) if (each.status === 'rejected') throw each.reason;
    const [ofDocuments, ofQueries = ofDocuments] = loaded as [SparseRunner, SparseRunner?];
    if (ofQueries.dimension === ofDocuments.dimension) return { query: ofQueries, document: ofDocuments };
    throw new SentvecError(
      'invalid-model',
      `Queries have ${ofQueries.dimension} terms and documents ${ofDocuments.dimension}: they cannot be compared.`,
    );
  } catch (error) {
    await Promise.all(loaded.map((each) => (each instanceof StaticQueries ? each.tokenizer : each).dispose()));
    throw error;
  }
}

async function loadRunner(route: SparseRoute, options: LoadSparseEmbedderOptions): Promise<SparseRunner> {
  const { backend, tokenizer, maxLength, selfCheck, signal, onWarning } = options;
  if (route.kind === 'table') {
    if (maxLength !== undefined && maxLength !== Infinity) checkCount(maxLength, 'maxLength');
    const limits = { ...route, maxLength: maxLength ?? route.maxLength };
    const hash = async (files: ModelFiles, path: string): Promise<string> =>
      files.sha256 === undefined ? sha256(await files.read(path)) : files.sha256(path);
    return StaticQueries.load(route.files, limits, tokenizer ?? javaScriptTokenizer, hash);
  }
  const pooling = graphPooling({ name: termWeightsOutput, size: route.dimension });
  const loaded = { backend, tokenizer, maxLength, selfCheck, signal, onWarning, pooling };
  const embedder: Embedder = await loadEmbedder(route.files, loaded);
  const { name, size } = embedder.encoder.pooledOutput ?? {};
  if (name === termWeightsOutput && size === route.dimension) return embedder;
  await embedder.dispose();
  throw new SentvecError(
    'unsupported-model',
    `The backend ${embedder.backend} gives no weights of terms, which ${route.files.name} needs. Use onnx(), tfjs() or webgpu().`,
  );
}
