// An inverted index of sparse vectors. Search is exact, and reads only the postings of the query's terms.
import { checkOptionNames, shouldYield, throwIfAborted, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { TopRows, type SearchHit } from '../search/top-rows.ts';
import { checkTopK } from '../search/vector-checks.ts';
import type { FileParts } from '../types.ts';
import { Segment, SegmentBuilder, segmentDocuments, type Postings } from './index-segment.ts';
import { checkSparseVector, type SparseVector } from './sparse-vector.ts';

/** Options of {@link SparseIndex.search}. */
export interface SparseSearchOptions {
  /**
   * Number of documents in the result.
   * @default 10
   */
  readonly topK?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An inverted index of sparse vectors. */
export interface SparseIndex {
  /** Number of documents. */
  readonly documents: number;
  /** Number of nonzero entries in all documents. */
  readonly postings: number;
  /**
   * Finds the documents with the largest dot products with the query, best first; equal scores in the order of rows.
   * The scores are exact, equal to {@link sparseDot}. Documents that share no term with the query are not in the
   * result.
   * @throws SentvecError `invalid-argument`, `aborted`; `io-failed` when the index is in files that cannot be read
   */
  search(query: SparseVector, options?: SparseSearchOptions): Promise<SearchHit[]>;
}

/** Options of {@link createSparseIndex}. */
export interface SparseIndexOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called every few milliseconds with the number of documents that were added. */
  readonly onProgress?: ((progress: { readonly documents: number }) => void) | undefined;
}

export const indexOptionNames: OptionNames<SparseIndexOptions> = { signal: true, onProgress: true };
const searchOptionNames: OptionNames<SparseSearchOptions> = { topK: true, signal: true };

/** An iterable or async iterable of document vectors. */
export type SparseVectors = Iterable<SparseVector> | AsyncIterable<SparseVector>;

/**
 * Builds an inverted index in memory, which needs 6 bytes for each nonzero entry. For larger corpora,
 * `writeSparseIndex` of `@sentvec/core/node` builds it in a folder.
 * @throws SentvecError `invalid-argument` (details.row), `aborted`, and what `vectors` throws
 */
export async function createSparseIndex(
  vectors: SparseVectors,
  options: SparseIndexOptions = {},
): Promise<SparseIndex> {
  checkOptionNames('createSparseIndex()', options, indexOptionNames);
  const segments: Segment[] = [];
  for await (const bytes of writeSegments(vectors, options)) segments.push(new Segment(partsInMemory(bytes), 'index'));
  return new InvertedIndex(segments);
}

/**
 * Upper limit of term ids (exclusive). Building a segment allocates a few numbers for every id up to the largest one,
 * so an id of 2^31 would exhaust the memory. Vocabularies of models are far below this limit.
 */
const maxTerms = 2 ** 24;

/** An array of bytes with the interface of a file. */
export function partsInMemory(bytes: Uint8Array): FileParts {
  return { size: bytes.length, read: (begin, end) => bytes.subarray(begin, end) };
}

/**
 * Writes the segments of an index, one after the other, in constant memory.
 * @throws SentvecError as {@link createSparseIndex}
 */
export async function* writeSegments(
  vectors: SparseVectors,
  options: SparseIndexOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let row = 0;
  const checked = async function* (): AsyncGenerator<IndexedDocument, void, undefined> {
    for await (const vector of vectors) {
      checkSparseVector(vector, `Document ${row}`, row);
      if ((vector.indices.at(-1) ?? 0) >= maxTerms)
        throw new SentvecError(
          'invalid-argument',
          `Document ${row} has the term ${vector.indices.at(-1)}. Terms must be below ${maxTerms}; number or hash them into that range.`,
          { row },
        );
      const negative = vector.values.find((value) => value < 0);
      if (negative !== undefined)
        throw new SentvecError(
          'invalid-argument',
          `Document ${row} has the value ${negative}. Values must not be negative; those of sparse models and BM25 never are.`,
          { row },
        );
      row += 1;
      yield { vector };
    }
  };
  yield* segmentsOf(checked(), false, options);
}

/** A document to add to an index. */
export interface IndexedDocument {
  readonly vector: SparseVector;
  readonly length?: number | undefined;
}

/**
 * Groups documents into segments, and yields the bytes of each.
 * @param hasLengths see {@link SegmentBuilder}
 */
export async function* segmentsOf(
  documents: AsyncIterable<IndexedDocument>,
  hasLengths: boolean,
  { signal, onProgress }: SparseIndexOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let builder = new SegmentBuilder(hasLengths);
  let count = 0;
  for await (const { vector, length } of documents) {
    throwIfAborted(signal);
    builder.add(vector, length);
    count += 1;
    if (shouldYield()) {
      onProgress?.({ documents: count });
      await yieldToEventLoop();
    }
    if (!builder.isFull) continue;
    yield builder.finish();
    builder = new SegmentBuilder(hasLengths);
  }
  throwIfAborted(signal);
  if (builder.documents > 0) yield builder.finish();
  onProgress?.({ documents: count });
}

/** An index over segments in memory or in files. */
export class InvertedIndex implements SparseIndex {
  readonly documents: number;
  readonly postings: number;
  readonly #segments: readonly Segment[];

  constructor(segments: readonly Segment[]) {
    this.#segments = segments;
    this.documents = segments.reduce((sum, segment) => sum + segment.documents, 0);
    this.postings = segments.reduce((sum, { counts }) => sum + counts.reduce((total, count) => total + count, 0), 0);
  }

  async search(query: SparseVector, options: SparseSearchOptions = {}): Promise<SearchHit[]> {
    checkOptionNames('search()', options, searchOptionNames);
    checkSparseVector(query, 'The query');
    return searchSegments(this.#segments, query, options, {
      bound: (segment, position) => segment.maxima[position]!,
      add: addProducts,
    });
  }
}

/** How a term of the query contributes to the scores of the documents that contain it. */
export interface TermScoring {
  /** The largest contribution of the term at this index to any document of the segment, for a query weight of 1. */
  bound(segment: Segment, index: number): number;
  /** Adds the contribution of a term to the score of each document. */
  add(scores: Float64Array, postings: Postings, weight: number, segmentNumber: number): void;
}

function addProducts(scores: Float64Array, { documents, values }: Postings, weight: number): void {
  for (let i = 0; i < documents.length; i += 1) scores[documents[i]!]! += weight * values[i]!;
}

/**
 * Searches segment by segment. Terms are added in the order of their indices, as in {@link sparseDot}, so that scores
 * are identical bit for bit. A segment is skipped if none of its documents can have a larger score than those found so
 * far.
 */
export async function searchSegments(
  segments: readonly Segment[],
  query: SparseVector,
  { topK = 10, signal }: SparseSearchOptions,
  scoring: TermScoring,
): Promise<SearchHit[]> {
  checkTopK(topK);
  const top = new TopRows(topK);
  const scores = new Float64Array(segmentDocuments);
  let firstRow = 0;
  for (const [number, segment] of segments.entries()) {
    if (shouldYield()) await yieldToEventLoop();
    throwIfAborted(signal);
    const terms = termsIn(segment, query);
    const bound = terms.reduce(
      (sum, { position, weight }) => sum + Math.max(0, weight) * scoring.bound(segment, position),
      0,
    );
    if (terms.length > 0 && bound > top.threshold) {
      for (const { position, weight } of terms) scoring.add(scores, segment.postings(position), weight, number);
      keepBest(top, scores, firstRow, segment.documents);
    }
    firstRow += segment.documents;
  }
  return top.sorted();
}

function termsIn(segment: Segment, { indices, values }: SparseVector): { position: number; weight: number }[] {
  const terms: { position: number; weight: number }[] = [];
  for (let i = 0; i < indices.length; i += 1) {
    const position = segment.positionOf(indices[i]!);
    if (position !== -1) terms.push({ position, weight: values[i]! });
  }
  return terms;
}

/**
 * Keeps the best documents of a segment, and clears the scores for the next segment. A document with score 0 is not a
 * hit.
 */
function keepBest(top: TopRows, scores: Float64Array, firstRow: number, documents: number): void {
  for (let document = 0; document < documents; document += 1) {
    const score = scores[document]!;
    if (score > top.threshold && score !== 0) top.keep(firstRow + document, score);
  }
  scores.fill(0);
}
