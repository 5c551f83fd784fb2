// Loads a sparse embedder from a model folder.
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
   * Maximum number of entries of a vector that are not zero: only the largest are kept.
   * @default all
   */
  readonly maxActiveDims?: number | undefined;
  /** Called with the receipt of each call that succeeded: for metrics. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
}

/** Names of the options of {@link loadSparseEmbedder}, for callers that separate them from their own options. */
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
 * documents, or an inference-free model, in which a table gives the weights of a query's tokens (Formal et al. 2021,
 * SPLADE v2; Geng et al. 2024, inference-free retrievers).
 * @throws SentvecError `invalid-model`, `unsupported-model` (also for models of other kinds, which the message names),
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

/** Loads the runners of both roles concurrently. If both roles have the same route, it is loaded once. */
async function loadRunners(
  { query, document }: Routes,
  options: LoadSparseEmbedderOptions,
): Promise<{ readonly query: SparseRunner; readonly document: SparseRunner }> {
  const isShared = query.kind === 'encoder' && document.kind === 'encoder' && query.path === document.path;
  const loading = [document, ...(isShared ? [] : [query])].map((route) => loadRunner(route, options));
  const settled = await Promise.allSettled(loading);
  const loaded = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  try {
    for (const each of settled) if (each.status === 'rejected') throw each.reason;
    const [documentRunner, queryRunner = documentRunner] = loaded as [SparseRunner, SparseRunner?];
    if (queryRunner.dimension === documentRunner.dimension) return { query: queryRunner, document: documentRunner };
    throw new SentvecError(
      'invalid-model',
      `Queries have ${queryRunner.dimension} terms and documents ${documentRunner.dimension}, so they cannot be compared. Download the model again.`,
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
    `The backend ${embedder.backend} does not compute term weights, which ${route.files.name} needs. Use onnx(), tfjs() or webgpu().`,
  );
}
