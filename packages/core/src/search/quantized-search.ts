// Search in a quantized corpus: finds candidates with quantized queries, then rescores them with the float32 queries.
import { checkCount, checkOptionNames, shouldYield, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { rowOf } from './matrix-rows.ts';
import { QuantizedScorer } from './quantized-scorer.ts';
import type { QuantizedMatrix } from './quantization.ts';
import { chunkSizes, scanScores, type Chunks, type ScanOptions } from './score-scan.ts';
import { checkDocuments, checkNotEmpty, keepBest, sortEach } from './semantic-search.ts';
import { byScoreThenRow, TopRows, type SearchHit } from './top-rows.ts';
import type { Matrix } from '../types.ts';
import { checkMatrix, checkNumbers, checkSameLength, checkTopK } from './vector-checks.ts';

/** Options of {@link searchQuantized}. */
export interface QuantizedSearchOptions extends ScanOptions {
  /**
   * Number of hits for each query; all rows when the corpus has fewer.
   * @default 10
   */
  readonly topK?: number | undefined;
  /**
   * Whether the best candidates are reordered by their scores with the float32 queries.
   * @default true
   */
  readonly rescore?: boolean | undefined;
  /**
   * With `rescore`, how many candidates are found per hit: `topK` × `rescoreMultiplier` in total.
   * @default 2
   */
  readonly rescoreMultiplier?: number | undefined;
  /**
   * The float32 vectors of the corpus, for rescoring.
   * @default the quantized corpus
   */
  readonly rescoreWith?: Matrix | undefined;
  /**
   * The ranges with which the queries are quantized, for `int8` and `uint8`.
   * @default the ranges of the corpus
   */
  readonly ranges?: Matrix | undefined;
  /**
   * The document of each row, as for {@link semanticSearch}. With `rescore`, the candidates are the best rows of
   * different documents.
   * @default each row is a hit of its own
   */
  readonly documents?: ArrayLike<number> | undefined;
}

const optionNames: OptionNames<QuantizedSearchOptions> = {
  topK: true,
  rescore: true,
  rescoreMultiplier: true,
  rescoreWith: true,
  ranges: true,
  documents: true,
  queryChunkSize: true,
  corpusChunkSize: true,
  signal: true,
  onProgress: true,
};

/**
 * Finds the rows of a quantized corpus that are nearest to each query, by comparing all rows in integer arithmetic. The
 * queries are quantized like the corpus; scores are dot products (`int8`, `uint8`) or negated Hamming distances
 * (`binary`, `ubinary`). With `rescore`, this gives `topK` × `rescoreMultiplier` candidates, which are then reordered
 * by the dot product of the float32 query with the candidate's row of `rescoreWith` or, by default, with its quantized
 * entries (bits count as 0 and 1). Same results as `semantic_search_faiss` and `semantic_search_usearch` in
 * `sentence_transformers/util/quantization.py`. In all other respects like {@link semanticSearch}.
 * @param queries float32 vectors
 * @param corpus result of {@link quantize}, or chunks with the same precision and ranges
 * @returns for each query its hits, best first
 * @throws SentvecError `invalid-argument`, `aborted`
 */
export async function searchQuantized(
  queries: Matrix,
  corpus: Chunks<QuantizedMatrix>,
  options: QuantizedSearchOptions = {},
): Promise<SearchHit[][]> {
  checkOptionNames('searchQuantized()', options, optionNames);
  const { topK = 10, rescore = true, rescoreMultiplier = 2, rescoreWith, documents } = options;
  checkMatrix(queries, 'The queries');
  checkNumbers(queries, 'The queries');
  checkTopK(topK);
  checkCount(rescoreMultiplier, 'rescoreMultiplier');
  if (rescoreWith) {
    checkMatrix(rescoreWith, 'rescoreWith');
    checkSameLength(queries.cols, 'queries', rescoreWith.cols, 'rescoreWith');
  }
  const capacity = rescore ? topK * rescoreMultiplier : topK;
  const tops = Array.from({ length: queries.rows }, () => new TopRows(capacity, documents));
  const scorer = new QuantizedScorer(queries, chunkSizes(options).queryChunkSize, options.ranges);
  const candidates = new CandidateRows('rows' in corpus ? corpus : undefined);
  const rows = await scanScores(
    scorer,
    corpus,
    options,
    (block) => keepBest(tops, block),
    (chunk) => scorer.prepare(chunk),
    (chunk, firstRow) => rescore && !rescoreWith && candidates.hold(tops, chunk, firstRow),
  );
  checkNotEmpty(rows);
  checkDocuments(documents, rows);
  if (!rescore) return sortEach(tops);
  if (rescoreWith && rescoreWith.rows !== rows) {
    throw new SentvecError('invalid-argument', `The corpus has ${rows} rows, but rescoreWith has ${rescoreWith.rows}.`);
  }
  const vectorOf = rescoreWith ? (row: number) => rowOf(rescoreWith, row) : (row: number) => candidates.vector(row);
  return rescoreEach(queries, tops, topK, vectorOf);
}

type Vector = ArrayLike<number>;

async function rescoreEach(
  queries: Matrix,
  tops: readonly TopRows[],
  topK: number,
  vectorOf: (row: number) => Vector,
): Promise<SearchHit[][]> {
  const hits: SearchHit[][] = [];
  for (const [query, top] of tops.entries()) {
    const vector = rowOf(queries, query);
    const rescored = top.rows().map((row) => ({ row, score: dot(vector, vectorOf(row)) }));
    const hitsOfQuery = rescored.filter(({ score }) => !Number.isNaN(score));
    hits.push(hitsOfQuery.sort(byScoreThenRow).slice(0, topK));
    if (shouldYield()) await yieldToEventLoop();
  }
  return hits;
}

/**
 * The quantized vectors of the candidates. If the corpus comes in chunks, they are copied after each chunk was scanned.
 */
class CandidateRows {
  readonly #corpus: QuantizedMatrix | undefined;
  #held = new Map<number, Vector>();

  constructor(corpus: QuantizedMatrix | undefined) {
    this.#corpus = corpus;
  }

  /** Copies the candidates among the rows of a chunk, and drops the copies of rows that are no candidates any more. */
  hold(tops: readonly TopRows[], chunk: QuantizedMatrix, firstRow: number): void {
    if (this.#corpus) return;
    const held = new Map<number, Vector>();
    for (const top of tops) {
      for (const row of top.rows()) held.set(row, this.#held.get(row) ?? unpack(chunk, row - firstRow));
    }
    this.#held = held;
  }

  vector(row: number): Vector {
    return this.#corpus ? unpack(this.#corpus, row) : this.#held.get(row)!;
  }
}

/** The entries of a quantized vector; bits as 0 and 1. */
function unpack({ precision, data, cols, dimension }: QuantizedMatrix, row: number): Vector {
  const bytes = data.slice(row * cols, (row + 1) * cols);
  if (precision === 'int8' || precision === 'uint8') return bytes;
  const offset = precision === 'binary' ? 128 : 0;
  return Uint8Array.from({ length: dimension }, (_, i) => ((bytes[i >> 3]! + offset) >> (7 - (i & 7))) & 1);
}

function dot(x: Vector, y: Vector): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}
