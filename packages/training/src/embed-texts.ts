// Vectors of texts and scores of pairs by the weights of an engine: what evaluators are given.
import {
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
import { tokenizeColumn, tokenizePairs, type TextReader } from './data/tokenized-sets.ts';

/** Turns texts into the vectors of the model as it is now, row i for text i. What evaluators are given. */
export type EmbedTexts = (texts: readonly string[], options?: EmbedTextsOptions) => Promise<Matrix>;

/** Options of {@link EmbedTexts}. */
export interface EmbedTextsOptions {
  /** Put before each text. */
  readonly prompt?: string | undefined;
  /** What the texts are in a search, for models that embed queries and documents differently. `prompt` goes before it. */
  readonly as?: TextRole | undefined;
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
 * Embedding with the weights of an engine, texts of alike length together.
 * @param runSignal ends it when a call has no signal of its own
 */
export function embedWith(engine: TrainingEngine, reader: TextReader, runSignal?: AbortSignal): EmbedTexts {
  return async (texts, { prompt = '', signal = runSignal } = {}) => {
    const { texts: tokenized, unpooledTokens } = await tokenizeColumn(reader, texts, prompt, signal);
    return rowsOf(engine, tokenized, unpooledTokens, signal);
  };
}

/**
 * Scores pairs of texts by a reranker as it is now: a row for each pair, a column for each label, the model's numbers
 * without an activation.
 */
export type ScorePairs = (pairs: readonly TextPair[]) => Promise<Matrix>;

/** Scoring with the weights of an engine, pairs of alike length together. */
export function scoreWith(engine: TrainingEngine, reader: TextReader, signal?: AbortSignal): ScorePairs {
  return async (pairs) => rowsOf(engine, await tokenizePairs(reader, pairs, undefined, signal), 0, signal);
}

/** What an engine gives for each of the inputs. */
async function rowsOf(
  engine: TrainingEngine,
  tokenized: readonly TokenizedText[],
  unpooledTokens: number,
  signal: AbortSignal | undefined,
): Promise<Matrix> {
  const lengths = tokenized.map(({ ids }) => ids.length);
  let vectors = new Float32Array(0);
  let cols = 0;
  for (const rows of planBatches(lengths, batchTokens)) {
    throwIfAborted(signal);
    const part = await engine.embed(makeBatch([{ texts: rows.map((row) => tokenized[row]!), unpooledTokens }]));
    if (cols === 0) {
      cols = part.cols;
      vectors = new Float32Array(tokenized.length * cols);
    }
    for (const [index, row] of rows.entries()) vectors.set(rowOf(part, index), row * cols);
  }
  return { data: vectors, rows: tokenized.length, cols };
}
