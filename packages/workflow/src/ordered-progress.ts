/** Progress of a `forEach` whose items finish in any order. */
import { SentvecError } from '@sentvec/core';
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

  /**
   * @param begun how many items at the beginning are done already, and the fold of them
   * @default none are
   */
  constructor(
    fold: ForEachOptions['fold'],
    report: (items: RunItems, total: unknown) => void,
    begun: { readonly items: number; readonly total: unknown } = { items: 0, total: initialTotal(fold) },
  ) {
    this.#fold = fold;
    this.#report = report;
    this.#planned = begun.items;
    this.#done = begun.items;
    this.#folded = begun.items;
    this.#total = begun.total;
  }

  /** The fold so far, over the longest finished beginning of the items. */
  get total(): unknown {
    return this.#total;
  }

  /** How many items there are from the first unfinished one to the last planned one. */
  get ahead(): number {
    return this.#planned - this.#folded;
  }

  /** How many items are planned and not finished. */
  get unfinished(): number {
    return this.#planned - this.#done;
  }

  /** Counts one more item. @returns its index */
  plan(): number {
    this.#planned += 1;
    return this.#planned - 1;
  }

  /** Sets how many items there will be. */
  readonly expect = (items: number): void => {
    this.#expected = items;
  };

  /** An item is finished. */
  finish(index: number, result: unknown): void {
    this.#done += 1;
    this.#waiting.set(index, result);
    while (this.#waiting.has(this.#folded)) {
      this.#total = addToTotal(this.#fold, this.#total, this.#waiting.get(this.#folded));
      this.#waiting.delete(this.#folded);
      this.#folded += 1;
    }
    this.#report(this.#items(), this.#total);
  }

  /** All items are finished. @returns their number */
  end(): number {
    this.#expected = this.#planned;
    this.#report(this.#items(), this.#total);
    return this.#planned;
  }

  #items(): RunItems {
    return { done: this.#done, planned: this.#planned, expected: this.#expected };
  }
}

/** What a fold begins with: a copy, so that a fold that changes its total in place does not spoil the next run. */
export function initialTotal(fold: ForEachOptions['fold']): unknown {
  return fold ? structuredClone(fold.initial) : null;
}

/** @throws SentvecError `step-failed` when the workflow's own function throws */
export function addToTotal(fold: ForEachOptions['fold'], total: unknown, result: unknown): unknown {
  if (!fold) return total;
  try {
    return fold.add(total, result);
  } catch (cause) {
    throw new SentvecError('step-failed', `The fold of a forEach failed: ${String(cause)}.`, {}, { cause });
  }
}
