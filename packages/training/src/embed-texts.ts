// Embeds texts and scores pairs with the current weights of a training engine, for evaluators.
import {
  maxSimilarity,
  planBatches,
  rowOf,
  throwIfAborted,
  type Matrix,
  type TextPair,
  type TextRole,
  type TokenizedText,
} from '@sentvec/core';
import { makeBatch } from './data/batch.ts';
import type { TrainingEngine } from './engine.ts';
import { tokenizeColumn, tokenizePairs, type TextReader, type TokenizedColumn } from './data/tokenized-sets.ts';

/** Embeds texts with the current weights of the model: row i is the vector of text i. Evaluators get this function. */
export type EmbedTexts = (texts: readonly string[], options?: EmbedTextsOptions) => Promise<Matrix>;

/** Options of {@link EmbedTexts}. */
export interface EmbedTextsOptions {
  /** Put before each text. */
  readonly prompt?: string | undefined;
  /**
   * The role of the texts in a search, for models that embed queries and documents differently. `prompt` overrides the
   * prompt of the role.
   */
  readonly as?: TextRole | undefined;
  /** For a model with a Router: the route of the texts. It overrides the route of `as`. @default the route of `as` */
  readonly route?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The prompts of a search: one is put before each query, the other before each document.
 * @default the prompts of the model, if it has any
 */
export interface SearchPrompts {
  readonly queryPrompt?: string | undefined;
  readonly corpusPrompt?: string | undefined;
}

/** Wraps an embed function so that it uses `prompt` unless a call gives another one. */
export function withPrompt(embed: EmbedTexts, prompt: string | undefined): EmbedTexts {
  return prompt === undefined ? embed : (texts, options) => embed(texts, { prompt, ...options });
}

/** Tokens of a batch: few enough that its activations stay in the CPU cache, as in inference. */
const batchTokens = 2048;

/**
 * Embeds texts with the weights of an engine. Texts of similar length share a batch.
 * @param runSignal aborts calls that have no signal of their own
 */
export function embedWith(engine: TrainingEngine, reader: TextReader, runSignal?: AbortSignal): EmbedTexts {
  return async (texts, { prompt, as, route: asked = as, signal = runSignal } = {}) => {
    const column = await tokenizeColumn(reader, texts, { prompt, signal, role: as, task: asked });
    return embedInBatches(engine, column, signal);
  };
}

/**
 * Scores pairs of texts with the current weights of the model, one row per pair. Used for models that do not give one
 * vector per text. A reranker gives one column per label: its logits, without an activation. Late interaction gives one
 * column: MaxSim, with the first text as the query.
 */
export type ScorePairs = (pairs: readonly TextPair[]) => Promise<Matrix>;

/**
 * Scores pairs with the weights of an engine. Pairs of similar length share a batch.
 * @param prompts the prompt of each column; a reranker uses the first one, before the pair. Default: the prompts of the
 * model
 */
export function scoreWith(
  engine: TrainingEngine,
  reader: TextReader,
  signal?: AbortSignal,
  prompts?: readonly string[],
): ScorePairs {
  if (reader.pooling.perToken === true) return (pairs) => lateScores(engine, reader, pairs, signal, prompts);
  return async (pairs) => {
    const texts = await tokenizePairs(reader, pairs, prompts?.[0], signal);
    return embedInBatches(engine, { texts, unpooledTokens: 0, route: undefined }, signal);
  };
}

/** Runs the engine on all inputs in batches, and returns one row per input in their order. */
async function embedInBatches(
  engine: TrainingEngine,
  { texts: tokenized, unpooledTokens, route }: TokenizedColumn,
  signal: AbortSignal | undefined,
): Promise<Matrix> {
  const lengths = tokenized.map(({ ids }) => ids.length);
  let vectors = new Float32Array(0);
  let cols = 0;
  for (const rows of planBatches(lengths, batchTokens)) {
    throwIfAborted(signal);
    const part = await engine.embed(makeBatch([{ texts: rows.map((row) => tokenized[row]!), unpooledTokens, route }]));
    if (cols === 0) {
      cols = part.cols;
      vectors = new Float32Array(tokenized.length * cols);
    }
    for (const [index, row] of rows.entries()) vectors.set(rowOf(part, index), row * cols);
  }
  return { data: vectors, rows: tokenized.length, cols };
}

/** How many pairs' token vectors are in memory at once. */
const pairsAtOnce = 256;

async function lateScores(
  engine: TrainingEngine,
  reader: TextReader,
  pairs: readonly TextPair[],
  signal: AbortSignal | undefined,
  prompts: readonly string[] | undefined,
): Promise<Matrix> {
  const scores = new Float32Array(pairs.length);
  for (let start = 0; start < pairs.length; start += pairsAtOnce) {
    const some = pairs.slice(start, start + pairsAtOnce);
    const matrices = async (column: 0 | 1): Promise<Matrix[]> => {
      const texts = some.map((pair) => pair[column]);
      const role = column === 0 ? 'query' : 'document';
      const { texts: tokenized } = await tokenizeColumn(reader, texts, { prompt: prompts?.[column], signal, role });
      return tokenMatrices(engine, tokenized, signal);
    };
    const [queries, documents] = [await matrices(0), await matrices(1)];
    for (const [index, query] of queries.entries()) scores[start + index] = maxSimilarity(query, documents[index]!);
  }
  return { data: scores, rows: pairs.length, cols: 1 };
}

/** The vectors of the tokens of each text, without padding and masked tokens. */
async function tokenMatrices(
  engine: TrainingEngine,
  tokenized: readonly TokenizedText[],
  signal: AbortSignal | undefined,
): Promise<Matrix[]> {
  const matrices: Matrix[] = [];
  const lengths = tokenized.map(({ ids }) => ids.length);
  for (const rows of planBatches(lengths, batchTokens)) {
    throwIfAborted(signal);
    const batch = makeBatch([{ texts: rows.map((row) => tokenized[row]!) }]);
    const vectors = await engine.embed(batch);
    for (const [index, row] of rows.entries()) {
      const first = index * batch.length;
      const positions = Array.from({ length: batch.length }, (_, at) => first + at).filter(
        (position) => batch.poolingMask[position] !== 0,
      );
      const data = new Float32Array(positions.length * vectors.cols);
      for (const [at, position] of positions.entries()) data.set(rowOf(vectors, position), at * vectors.cols);
      matrices[row] = { data, rows: positions.length, cols: vectors.cols };
    }
  }
  return matrices;
}
