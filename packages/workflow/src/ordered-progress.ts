import type { RunItems } from './runtime.ts';
import type { ForEachOptions } from './workflow.ts';

/**
 * Counts the items of a `forEach` and folds their results in the order of the items, whatever the order in which they
 * finish. Holds only the results that wait for an earlier one.
 */
export class OrderedProgress {
  readonly #fold: ForEachOptions['fold'];
  readonly #report: (items: RunItems, total: unknown) => void;
  readonly #waiting = new Map<number, unknown>();
  #planned = 0;
  #done = 0;
  #folded = 0;
  #expected: number | undefined;
  #total: unknown;

  constructor(fold: ForEachOptions['fold'], report: (items: RunItems, total: unknown) => void) {
    this.#fold = fold;
    this.#report = report;
    this.#total = fold ? fold.initial : null;
  }

  /** The fold so far, over the longest finished beginning of the items. */
  get total(): unknown {
    return this.#total;
  }

  /** How many items lie between the first unfinished one and the last planned one. */
  get ahead(): number {
    return this.#planned - this.#folded;
  }

  /** Takes note of one more item, and gives its index. */
  plan(): number {
    this.#planned += 1;
    return this.#planned - 1;
  }

  /** Takes note of how many items there will be. */
  readonly expect = (items: number): void => {
    this.#expected = items;
  };

  finish(index: number, result: unknown): void {
    this.#done += 1;
    this.#waiting.set(index, result);
    while (this.#waiting.has(this.#folded)) {
      if (this.#fold) this.#total = this.#fold.add(this.#total, this.#waiting.get(this.#folded));
      this.#waiting.delete(this.#folded);
      this.#folded += 1;
    }
    this.#report(this.#items(), this.#total);
  }

  /** To be called when all are finished. Gives their number. */
  end(): number {
    this.#expected = this.#planned;
    this.#report(this.#items(), this.#total);
    return this.#planned;
  }

  #items(): RunItems {
    return { done: this.#done, planned: this.#planned, expected: this.#expected };
  }
}
