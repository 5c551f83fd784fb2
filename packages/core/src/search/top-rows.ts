import { ScoreHeap } from './score-heap.ts';

/** A row of the corpus that answers a query. */
export interface SearchHit {
  /** The row in the corpus, counted from 0. */
  readonly row: number;
  /** Larger is nearer. */
  readonly score: number;
}

/** The best rows for one query, of all that were offered in the order of the corpus. */
export class TopRows {
  readonly #capacity: number;
  /** Keys are negative rows: of equal scores the largest row is the first to go. */
  readonly #heap = new ScoreHeap();
  /** A score must be larger than this to have a place. Not a number never is. */
  #threshold = -Infinity;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get threshold(): number {
    return this.#threshold;
  }

  /** The rows kept so far, in no order. */
  rows(): number[] {
    return this.#heap.keys.map((key) => -key);
  }

  /** Keeps a row whose score is larger than the {@link threshold}. Rows come in ascending order. */
  keep(row: number, score: number): void {
    if (this.#heap.size < this.#capacity) this.#heap.push(score, -row);
    else this.#heap.replaceRoot(score, -row);
    if (this.#heap.size === this.#capacity) this.#threshold = this.#heap.scores[0]!;
  }

  /** Best first; equal scores in the order of rows. */
  sorted(): SearchHit[] {
    const { scores, keys } = this.#heap;
    return scores.map((score, i) => ({ row: 0 - keys[i]!, score })).sort(byScoreThenRow);
  }
}

/** Best first; equal scores in the order of rows. */
export function byScoreThenRow(a: SearchHit, b: SearchHit): number {
  return b.score - a.score || a.row - b.row;
}
