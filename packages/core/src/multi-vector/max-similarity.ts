/**
 * MaxSim, the score of late interaction: for each token of the query the largest dot product with a token of the
 * document, summed over the query (Khattab and Zaharia 2020, ColBERT). `maxSimilarity` is the reference for one
 * document; `maxSimilarityScores` is the fast implementation for many.
 */
import { checkOptionNames, shouldYield, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import type { ScoreRuntime, Scoring } from '@sentvec/kernels';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { ScoreKernel } from '../search/score-kernel.ts';
import { TopRows, type SearchHit } from '../search/top-rows.ts';
import { checkMatrix, checkSameLength, checkTopK } from '../search/vector-checks.ts';
import type { Matrix } from '../types.ts';
import type { LateSimilarity, MultiVectors } from './multi-vector-types.ts';
import { checkMultiVectors } from './multi-vectors.ts';
import { expandSigns, quantizeRows, type QuantizedMultiVectors, type TokenPrecision } from './token-quantization.ts';

/** Token vectors of documents, exact or quantized. */
export type DocumentVectors = MultiVectors | QuantizedMultiVectors;

/** Token vectors of documents that are not in memory. */
export interface StoredMultiVectors {
  /** Number of documents. */
  readonly texts: number;
  /** Length of a token's vector. */
  readonly cols: number;
  readonly precision: TokenPrecision | 'float32';
  /** Fingerprint of the vector space, if it was given when the vectors were stored. */
  readonly fingerprint?: string | undefined;
  /**
   * The vectors of each document from `begin` up to, but not including, `end`. Reads synchronously, so it blocks the
   * thread.
   * @throws SentvecError `invalid-argument` when there are no such documents, `io-failed`
   */
  read(begin: number, end: number): readonly DocumentVectors[];
}

/** The score of a document without token vectors: below all others, as in sentence-transformers. */
export const emptyDocumentScore: number = -1e9;

/**
 * The score of a document for a query, in double precision. {@link maxSimilarityScores} is tested against it. Follows
 * `maxsim` in `sentence_transformers/util/similarity.py`.
 * @param query token vectors, a row for each token; at least one
 * @param document token vectors, a row for each token; without rows the score is -1e9
 * @param similarity `mean-max` divides the sum by the number of the query's tokens, so that scores of different queries
 * are comparable
 * @throws SentvecError `invalid-argument`
 */
export function maxSimilarity(query: Matrix, document: Matrix, similarity: LateSimilarity = 'max'): number {
  checkMatrix(query, 'The query');
  if (document.rows === 0) return finalScore(emptyDocumentScore, query, similarity);
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
  return finalScore(sum, query, similarity);
}

/** Options of {@link maxSimilarityScores}. */
export interface MaxSimilarityOptions {
  /**
   * Indices of the documents to score, for example those that a first-stage search found. A search returns each
   * document once, even if it is listed twice.
   * @default all
   */
  readonly candidates?: readonly number[] | undefined;
  /** @default 'max' */
  readonly similarity?: LateSimilarity | undefined;
  readonly signal?: AbortSignal | undefined;
}

const scoreOptionNames: OptionNames<MaxSimilarityOptions> = { candidates: true, similarity: true, signal: true };

/**
 * The scores of documents for a query, in single precision or the precision of quantized documents: one for each
 * candidate, in the order of the candidates, or one for each document. Runs on the calling thread, yields to the event
 * loop every few milliseconds, and keeps only one block of stored documents in memory.
 * @throws SentvecError `invalid-argument` (vectors of different lengths, entries that are not finite), `aborted`
 */
export async function maxSimilarityScores(
  query: Matrix,
  documents: DocumentVectors | StoredMultiVectors,
  options: MaxSimilarityOptions = {},
): Promise<Float32Array> {
  checkOptionNames('maxSimilarityScores()', options, scoreOptionNames);
  const rowsOf = documentRows(documents, options.candidates === undefined);
  const { candidates, similarity = 'max', signal } = options;
  throwIfAborted(signal);
  const precision = 'precision' in documents ? documents.precision : 'float32';
  const scorer = new MaxSimilarityScorer(query, documents.cols, precision);
  const scores = new Float32Array(candidates?.length ?? documents.texts);
  for (let at = 0; at < scores.length; at++) {
    const text = candidates === undefined ? at : candidates[at]!;
    checkText(text, documents.texts);
    const sum = scorer.score(...rowsOf(text));
    if (Number.isNaN(sum)) throw notANumber(text);
    scores[at] = finalScore(sum, query, similarity);
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
   * Number of documents in the result.
   * @default 10
   */
  readonly topK?: number | undefined;
}

/**
 * The documents with the largest scores, best first; equal scores in the order of the documents. `row` is the index of
 * the document.
 * @throws SentvecError as {@link maxSimilarityScores}
 */
export async function searchByMaxSimilarity(
  query: Matrix,
  documents: DocumentVectors | StoredMultiVectors,
  { topK = 10, ...options }: MaxSimilaritySearchOptions = {},
): Promise<SearchHit[]> {
  checkTopK(topK);
  const scores = await maxSimilarityScores(query, documents, options);
  return bestOf(scores, topK, options.candidates);
}

/**
 * The documents with the largest scores, best first.
 * @param rows the document of each score; a document that occurs twice gives one hit. Default: all documents, in
 * order
 */
export function bestOf(scores: Float32Array, topK: number, rows?: readonly number[]): SearchHit[] {
  const order = rows === undefined ? scores.keys() : [...rows.keys()].sort((a, b) => rows[a]! - rows[b]!);
  const top = new TopRows(topK);
  let last = -1;
  for (const at of order) {
    const row = rows === undefined ? at : rows[at]!;
    if (row !== last && scores[at]! > top.threshold) top.keep(row, scores[at]!);
    last = row;
  }
  return top.sorted();
}

/** Number of stored documents that are read at once when all documents are scored. */
const textsOfBlock = 32;

/** Returns a function that gives, for a document, the matrix with its vectors and its first and last row in there. */
function documentRows(
  documents: DocumentVectors | StoredMultiVectors,
  inOrder: boolean,
): (text: number) => readonly [vectors: DocumentVectors, begin: number, end: number] {
  if (!('read' in documents)) {
    const isBinary = 'precision' in documents && documents.precision === 'binary';
    checkMultiVectors(documents, 'The documents', isBinary ? Math.ceil(documents.cols / 8) : documents.cols);
    return (text) => [documents, documents.offsets[text]!, documents.offsets[text + 1]!];
  }
  let first = 0;
  let block: readonly DocumentVectors[] = [];
  return (text) => {
    if (block[text - first] === undefined) {
      block = documents.read(text, inOrder ? Math.min(text + textsOfBlock, documents.texts) : text + 1);
      first = text;
    }
    const vectors = block[text - first]!;
    return [vectors, 0, vectors.offsets[1]!];
  };
}

/** Number of a document's rows that are compared with the query at once, so that they stay in the CPU cache. */
const rowsOfBlock = 512;

/** Scales for vectors without scales. */
const noScales: Float32Array = new Float32Array(rowsOfBlock).fill(1);

/** Scores documents for one query with the SIMD kernel of the vector search. */
class MaxSimilarityScorer {
  readonly #kernel: ScoreKernel;
  readonly #bytesPerRow: number;
  readonly #scoring: Scoring;
  readonly #largest: Float64Array;
  /** For each token of the query, the factor of its integer products. */
  readonly #queryScales: Float64Array | undefined;
  /** Buffer for a block of rows of binary vectors, expanded to -1 and 1. */
  readonly #signs: Uint32Array | undefined;

  constructor(query: Matrix, documentCols: number, precision: StoredMultiVectors['precision'], runtime?: ScoreRuntime) {
    checkMatrix(query, 'The query');
    checkSameLength(query.cols, 'query', documentCols, 'documents');
    const { rows, cols } = query;
    this.#scoring = precision === 'float32' ? 'dot' : 'dot-int8';
    this.#bytesPerRow = precision === 'binary' ? 8 * Math.ceil(cols / 8) : precision === 'int8' ? cols : 4 * cols;
    this.#kernel = new ScoreKernel(this.#bytesPerRow, rows, rowsOfBlock, runtime);
    this.#largest = new Float64Array(rows);
    if (precision === 'float32') {
      this.#loadQuery(bytesOf(query.data), rows);
      return;
    }
    const { data, scales } = quantizeRows(query);
    // A vector of n signs (-1 and 1) has the length √n, but the vector that it stands for has length 1.
    this.#queryScales = Float64Array.from(scales, (scale) =>
      precision === 'binary' ? scale / Math.sqrt(cols) : scale,
    );
    if (precision === 'binary') this.#signs = new Uint32Array((rowsOfBlock * this.#bytesPerRow) / 4);
    const padded = new Uint8Array(rows * this.#bytesPerRow);
    for (let row = 0; row < rows; row++)
      padded.set(data.subarray(row * cols, (row + 1) * cols), row * this.#bytesPerRow);
    this.#loadQuery(padded, rows);
  }

  /** The sum, over the query's tokens, of the largest product with rows `begin` to `end`. NaN if a product is NaN. */
  score(vectors: DocumentVectors, begin: number, end: number): number {
    if (begin === end) return emptyDocumentScore;
    const largest = this.#largest.fill(-Infinity);
    for (let from = begin; from < end; from += rowsOfBlock) {
      const to = Math.min(from + rowsOfBlock, end);
      this.#loadRows(vectors, from, to);
      const tile = this.#kernel.score(this.#scoring);
      const scales = ('scales' in vectors ? vectors.scales?.subarray(from, to) : undefined) ?? noScales;
      for (let token = 0; token < largest.length; token++)
        largest[token] = Math.max(largest[token]!, largestOf(tile.values, token * tile.stride, to - from, scales));
    }
    const factors = this.#queryScales;
    return largest.reduce((sum, each, token) => sum + each * (factors?.[token] ?? 1), 0);
  }

  #loadQuery(bytes: Uint8Array, rows: number): void {
    this.#kernel.loadQueries({ bytes, bytesPerVector: this.#bytesPerRow }, 0, rows);
  }

  #loadRows({ data }: DocumentVectors, from: number, to: number): void {
    const bytesPerVector = this.#bytesPerRow;
    if (this.#signs === undefined) {
      this.#kernel.loadRows({ bytes: bytesOf(data), bytesPerVector }, from, to);
      return;
    }
    expandSigns(bytesOf(data).subarray((from * bytesPerVector) / 8, (to * bytesPerVector) / 8), this.#signs);
    this.#kernel.loadRows({ bytes: bytesOf(this.#signs), bytesPerVector }, 0, to - from);
  }
}

/**
 * The largest of some values, each multiplied with its scale. Uses four independent maxima, since in a single chain
 * each `Math.max` would wait for the one before.
 */
function largestOf(values: Float32Array | Int32Array, begin: number, count: number, scales: Float32Array): number {
  let [a, b, c, d] = [-Infinity, -Infinity, -Infinity, -Infinity];
  let at = 0;
  for (let from = begin; at + 3 < count; at += 4, from += 4) {
    a = Math.max(a, values[from]! * scales[at]!);
    b = Math.max(b, values[from + 1]! * scales[at + 1]!);
    c = Math.max(c, values[from + 2]! * scales[at + 2]!);
    d = Math.max(d, values[from + 3]! * scales[at + 3]!);
  }
  for (; at < count; at++) a = Math.max(a, values[begin + at]! * scales[at]!);
  return Math.max(Math.max(a, b), Math.max(c, d));
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Int8Array | Uint8Array | Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function finalScore(sum: number, query: Matrix, similarity: LateSimilarity): number {
  return similarity === 'mean-max' ? sum / query.rows : sum;
}

function checkText(text: number, texts: number): void {
  if (Number.isSafeInteger(text) && text >= 0 && text < texts) return;
  throw new SentvecError(
    'invalid-argument',
    `There is no document ${text}: the indices of the ${texts} documents start at 0.`,
  );
}

function notANumber(row: number): SentvecError {
  return new SentvecError(
    'invalid-argument',
    `The score of document ${row} is not a number: its token vectors, or those of the query, hold NaN or infinity. Embed it again.`,
    { row },
  );
}
