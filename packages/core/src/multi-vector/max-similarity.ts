/**
 * MaxSim, the score of late interaction: for each token of the query the largest product with a token of the document,
 * summed over the query (Khattab and Zaharia 2020, ColBERT). The plain form, and the fast one over many documents.
 */
import { checkOptionNames, shouldYield, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import type { ScoreRuntime } from '@sentvec/kernels';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { ScoreKernel } from '../search/score-kernel.ts';
import { TopRows, type SearchHit } from '../search/top-rows.ts';
import { checkCount, checkMatrix, checkSameLength } from '../search/vector-checks.ts';
import type { Matrix } from '../types.ts';
import type { LateSimilarity, MultiVectors } from './multi-vector-types.ts';
import { checkMultiVectors } from './multi-vectors.ts';

/** The score of a document without token vectors: below all others, as in sentence-transformers. */
export const emptyDocumentScore: number = -1e9;

/**
 * The score of a document for a query, in double precision: the reference of {@link maxSimilarityScores}. Follows
 * `maxsim` in `sentence_transformers/util/similarity.py`.
 * @param query a row for each token, at least one
 * @param document a row for each token; without any the score is -1e9
 * @param similarity `mean-max` divides by the number of the query's tokens, so that scores of queries can be compared
 * @throws SentvecError `invalid-argument`
 */
export function maxSimilarity(query: Matrix, document: Matrix, similarity: LateSimilarity = 'max'): number {
  checkMatrix(query, 'The query');
  if (document.rows === 0) return finish(emptyDocumentScore, query, similarity);
  checkMatrix(document, 'The document');
  checkSameLength(query.cols, 'query', document.cols, 'document');
  const { cols } = query;
  let sum = 0;
  for (let token = 0; token < query.rows; token++) {
    let largest = -Infinity;
    for (let other = 0; other < document.rows; other++) {
      let product = 0;
      for (let i = 0; i < cols; i++) product += query.data[token * cols + i]! * document.data[other * cols + i]!;
      largest = Math.max(largest, product);
    }
    sum += largest;
  }
  return finish(sum, query, similarity);
}

/** Options of {@link maxSimilarityScores}. */
export interface MaxSimilarityOptions {
  /**
   * The documents to score, counted from 0: what a first stage found.
   * @default all
   */
  readonly candidates?: readonly number[] | undefined;
  /** @default 'max' */
  readonly similarity?: LateSimilarity | undefined;
  readonly signal?: AbortSignal | undefined;
}

const scoreOptionNames: OptionNames<MaxSimilarityOptions> = { candidates: true, similarity: true, signal: true };

/**
 * The scores of documents for a query, in single precision: those of the candidates in their order, or of all documents.
 * Runs on the caller's thread, lets the event loop have its turn every few milliseconds, and holds a block of the
 * documents beside the scores.
 * @throws SentvecError `invalid-argument` (vectors of different lengths, numbers that are none), `aborted`
 */
export async function maxSimilarityScores(
  query: Matrix,
  documents: MultiVectors,
  options: MaxSimilarityOptions = {},
): Promise<Float32Array> {
  checkOptionNames('maxSimilarityScores()', options, scoreOptionNames);
  checkMultiVectors(documents, 'The documents');
  const { candidates, similarity = 'max', signal } = options;
  throwIfAborted(signal);
  const scorer = new MaxSimilarityScorer(query);
  const scores = new Float32Array(candidates?.length ?? documents.texts);
  for (let at = 0; at < scores.length; at++) {
    const text = candidates === undefined ? at : candidates[at]!;
    checkText(text, documents.texts);
    const sum = scorer.score(documents, documents.offsets[text]!, documents.offsets[text + 1]!);
    if (Number.isNaN(sum)) throw notANumber(text);
    scores[at] = finish(sum, query, similarity);
    if (shouldYield()) {
      await yieldToEventLoop();
      throwIfAborted(signal);
    }
  }
  return scores;
}

/** Options of {@link searchByMaxSimilarity}. */
export interface MaxSimilaritySearchOptions extends MaxSimilarityOptions {
  /**
   * Documents in the answer.
   * @default 10
   */
  readonly topK?: number | undefined;
}

/**
 * The documents with the largest scores, best first; equal scores in the order of the documents. `row` is the document.
 * @throws SentvecError as {@link maxSimilarityScores}
 */
export async function searchByMaxSimilarity(
  query: Matrix,
  documents: MultiVectors,
  { topK = 10, ...options }: MaxSimilaritySearchOptions = {},
): Promise<SearchHit[]> {
  checkCount(topK, 'topK');
  const scores = await maxSimilarityScores(query, documents, options);
  return bestOf(scores, topK, options.candidates);
}

/** The largest of some scores, best first. */
export function bestOf(scores: Float32Array, topK: number, rows?: readonly number[]): SearchHit[] {
  const order = rows === undefined ? [...scores.keys()] : [...rows.keys()].sort((a, b) => rows[a]! - rows[b]!);
  const top = new TopRows(topK);
  for (const at of order) if (scores[at]! > top.threshold) top.keep(rows === undefined ? at : rows[at]!, scores[at]!);
  return top.sorted();
}

/** Rows of a document that are compared with the query at once: they stay in the cache of a core. */
const rowsOfBlock = 512;

/** Scores documents for one query with the SIMD functions of the search. */
class MaxSimilarityScorer {
  readonly #query: Matrix;
  readonly #kernel: ScoreKernel;
  readonly #largest: Float64Array;

  constructor(query: Matrix, runtime?: ScoreRuntime) {
    checkMatrix(query, 'The query');
    this.#query = query;
    this.#kernel = new ScoreKernel(query.cols * 4, query.rows, rowsOfBlock, runtime);
    this.#kernel.loadQueries(packed(query.data, query.cols), 0, query.rows);
    this.#largest = new Float64Array(query.rows);
  }

  /** The sum over the query of the largest products with rows of `documents`. Not a number where one of them is none. */
  score({ data, cols }: MultiVectors, begin: number, end: number): number {
    checkSameLength(this.#query.cols, 'query', cols, 'documents');
    if (begin === end) return emptyDocumentScore;
    const largest = this.#largest.fill(-Infinity);
    for (let from = begin; from < end; from += rowsOfBlock) {
      const to = Math.min(from + rowsOfBlock, end);
      this.#kernel.loadRows(packed(data, cols), from, to);
      const { values, stride } = this.#kernel.score('dot');
      for (let token = 0; token < largest.length; token++) {
        let most = largest[token]!;
        for (let at = token * stride, last = at + to - from; at < last; at++) most = Math.max(most, values[at]!);
        largest[token] = most;
      }
    }
    return largest.reduce((sum, each) => sum + each, 0);
  }
}

function packed(data: Float32Array, cols: number): { readonly bytes: Uint8Array; readonly bytesPerVector: number } {
  return { bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), bytesPerVector: cols * 4 };
}

function finish(sum: number, query: Matrix, similarity: LateSimilarity): number {
  return similarity === 'mean-max' ? sum / query.rows : sum;
}

function checkText(text: number, texts: number): void {
  if (Number.isSafeInteger(text) && text >= 0 && text < texts) return;
  throw new SentvecError('invalid-argument', `There is no document ${text}: there are ${texts}, counted from 0.`);
}

function notANumber(row: number): SentvecError {
  return new SentvecError(
    'invalid-argument',
    `The score of document ${row} is not a number: its token vectors, or those of the query, hold entries that are none. Embed it again.`,
    { row },
  );
}
