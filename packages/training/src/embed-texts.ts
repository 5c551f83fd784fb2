// Vectors of texts and scores of pairs by the weights of an engine: what evaluators are given.
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

/** Turns texts into the vectors of the model as it is now, row i for text i. What evaluators are given. */
export type EmbedTexts = (texts: readonly string[], options?: EmbedTextsOptions) => Promise<Matrix>;

/** Options of {@link EmbedTexts}. */
export interface EmbedTextsOptions {
  /** Put before each text. */
  readonly prompt?: string | undefined;
  /**
   * What the texts are in a search, for models that embed queries and documents differently. `prompt` takes precedence
   * over it.
   */
  readonly as?: TextRole | undefined;
  /** For a model with a Router: the route of the texts. It takes precedence over `as`. @default that of `as` */
  readonly route?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Texts that are put before each query and before each document of a search.
 * @default the prompt of the embedding, if it has one
 */
export interface SearchPrompts {
  readonly queryPrompt?: string | undefined;
  readonly corpusPrompt?: string | undefined;
}

/** The same embedding with a prompt before each text, unless another is asked for. */
export function withPrompt(embed: EmbedTexts, prompt: string | undefined): EmbedTexts {
  return prompt === undefined ? embed : (texts, options) => embed(texts, { prompt, ...options });
}

/** Tokens of a batch: small enough to stay in cache, as in serving. */
const batchTokens = 2048;

/**
 * Embedding with the weights of an engine, texts of similar length together.
 * @param runSignal ends it when a call has no signal of its own
 */
export function embedWith(engine: TrainingEngine, reader: TextReader, runSignal?: AbortSignal): EmbedTexts {
  return async (texts, { prompt, as, route: asked = as, signal = runSignal } = {}) => {
    const column = await tokenizeColumn(reader, texts, { prompt, signal, role: as, task: asked });
    return rowsOf(engine, column, signal);
  };
}

/**
 * Scores pairs of texts by the model as it is now, where it does not have one vector for each text: a row for each
 * pair. A reranker has a column for each label, with its numbers without an activation. Late interaction has one, the
 * MaxSim of the first text as a query.
 */
export type ScorePairs = (pairs: readonly TextPair[]) => Promise<Matrix>;

/**
 * Scoring with the weights of an engine, pairs of similar length together.
 * @param prompts before the texts of each column, a reranker's before the pair; default those of the model
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
    return rowsOf(engine, { texts, unpooledTokens: 0, route: undefined }, signal);
  };
}

/** What an engine gives for each of the inputs. */
async function rowsOf(
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

/** Pairs whose token vectors are held at once. */
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

/** The vectors of the tokens that count, of each text. */
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
      const counted = Array.from({ length: batch.length }, (_, at) => first + at).filter(
        (position) => batch.poolingMask[position] !== 0,
      );
      const data = new Float32Array(counted.length * vectors.cols);
      for (const [at, position] of counted.entries()) data.set(rowOf(vectors, position), at * vectors.cols);
      matrices[row] = { data, rows: counted.length, cols: vectors.cols };
    }
  }
  return matrices;
}
