// The best rows of a corpus for one query, collected while all rows are scored.
import { ScoreHeap } from './score-heap.ts';

/** A row of the corpus that a search found. */
export interface SearchHit {
  /** The row in the corpus, counted from 0. */
  readonly row: number;
  /** Larger is nearer. */
  readonly score: number;
}

/** A document with its row and score; larger is better. */
export interface RankedDocument extends SearchHit {
  readonly document: string;
}

/**
 * Collects the best rows for one query. Rows are offered in ascending order; of each document only the best row is
 * kept.
 */
export class TopRows {
  readonly #capacity: number;
  readonly #documents: ArrayLike<number> | undefined;
  /** The best row so far of the current document. */
  #best: SearchHit | undefined;
  /** Keys are negated rows, so that of equal scores the largest row is removed first. */
  readonly #heap = new ScoreHeap();
  /** A score must be larger than this to be kept. NaN is never larger. */
  #threshold = -Infinity;

  /** @param documents see {@link SemanticSearchOptions.documents} */
  constructor(capacity: number, documents?: ArrayLike<number>) {
    this.#capacity = capacity;
    this.#documents = documents;
  }

  get threshold(): number {
    return this.#threshold;
  }

  /** The rows that were kept so far, in no particular order. */
  rows(): number[] {
    const rows = this.#heap.keys.map((key) => -key);
    return this.#best ? [...rows, this.#best.row] : rows;
  }

  /** Keeps a row whose score is larger than {@link threshold}. Must be called in ascending order of rows. */
  keep(row: number, score: number): void {
    const documents = this.#documents;
    if (!documents) return this.#push(row, score);
    const isSame = this.#best && documents[this.#best.row] === documents[row];
    if (isSame && score <= this.#best!.score) return;
    if (!isSame) this.#pushBest();
    this.#best = { row, score };
  }

  #pushBest(): void {
    if (this.#best) this.#push(this.#best.row, this.#best.score);
    this.#best = undefined;
  }

  #push(row: number, score: number): void {
    // The threshold may have risen since the best row of this document was found.
    if (!(score > this.#threshold)) return;
    if (this.#heap.size < this.#capacity) this.#heap.push(score, -row);
    else this.#heap.replaceRoot(score, -row);
    if (this.#heap.size === this.#capacity) this.#threshold = this.#heap.scores[0]!;
  }

  /** Best first; equal scores in the order of rows. */
  sorted(): SearchHit[] {
    this.#pushBest();
    const { scores, keys } = this.#heap;
    return scores.map((score, i) => ({ row: -keys[i]!, score })).sort(byScoreThenRow);
  }
}

/** Best first; equal scores in the order of rows. */
export function byScoreThenRow(a: SearchHit, b: SearchHit): number {
  return b.score - a.score || a.row - b.row;
}
