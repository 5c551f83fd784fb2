/** Progress of a `forEach` whose items finish in any order. */
import { isDeepStrictEqual } from 'node:util';
import { SentvecError } from '@sentvec/core';
import type { RunItems } from './runtime.ts';
import { describeThrown, maxInputBytes, toJsonValue } from './values.ts';
import type { ForEachOptions } from './workflow.ts';

/** In place of the result of an item that failed. */
const failedItem = Symbol('failed item');

/**
 * Counts the items of a `forEach`, and folds their results in the order of the items, even if they finish in another
 * order. It keeps only results that wait for an earlier item. A failed item is left out of the total.
 */
export class OrderedProgress {
  readonly #fold: ForEachOptions['fold'];
  readonly #report: (items: RunItems, total: unknown) => void;
  readonly #waiting = new Map<number, unknown>();
  #planned = 0;
  #done = 0;
  #folded = 0;
  #failed = 0;
  #expected: number | undefined;
  #total: unknown;

  /**
   * @param begun how many of the first items are already finished, how many of these failed, and the fold of the others
   * @default no items are done
   */
  constructor(
    fold: ForEachOptions['fold'],
    report: (items: RunItems, total: unknown) => void,
    begun: { readonly items: number; readonly total: unknown; readonly failed?: number | undefined } = {
      items: 0,
      total: initialTotal(fold),
    },
  ) {
    this.#fold = fold;
    this.#report = report;
    this.#planned = begun.items;
    this.#failed = begun.failed ?? 0;
    this.#done = begun.items - this.#failed;
    this.#folded = begun.items;
    this.#total = begun.total;
  }

  /** The fold of all items before the first unfinished one. */
  get total(): unknown {
    return this.#total;
  }

  /** Number of items from the first unfinished one to the last planned one. */
  get ahead(): number {
    return this.#planned - this.#folded;
  }

  /** Number of planned items that are not finished. */
  get unfinished(): number {
    return this.#planned - this.#done - this.#failed;
  }

  /** Counts one more item. @returns its index */
  plan(): number {
    this.#planned += 1;
    return this.#planned - 1;
  }

  /** Sets the expected number of items. A non-finite number means that it is unknown. */
  readonly expect = (items: number): void => {
    this.#expected = Number.isFinite(items) ? Math.round(items) : undefined;
  };

  /** The progress so far. */
  get items(): RunItems {
    const expected = this.#expected === undefined ? undefined : Math.max(this.#expected, this.#planned);
    return { done: this.#done, planned: this.#planned, expected, ...(this.#failed > 0 && { failed: this.#failed }) };
  }

  /** Records an item that is done. */
  finish(index: number, result: unknown): void {
    this.#done += 1;
    this.#settle(index, result);
  }

  /** An item has failed for good. */
  fail(index: number): void {
    this.#failed += 1;
    this.#settle(index, failedItem);
  }

  #settle(index: number, result: unknown): void {
    this.#waiting.set(index, result);
    while (this.#waiting.has(this.#folded)) {
      const next = this.#waiting.get(this.#folded);
      if (next !== failedItem) this.#total = addToTotal(this.#fold, this.#total, next);
      this.#waiting.delete(this.#folded);
      this.#folded += 1;
    }
    this.#report(this.items, this.#total);
  }

  /** Records that all items are finished. @returns their number */
  end(): number {
    this.#expected = this.#planned;
    this.#report(this.items, this.#total);
    return this.#planned;
  }
}

/**
 * The initial total of a fold. It is a copy, so that a fold that mutates its total does not affect later runs.
 * @throws SentvecError `invalid-argument` for a value that JSON cannot represent, such as `-Infinity` or a `Set`,
 * because another process that continues the run would begin with another value
 */
export function initialTotal(fold: ForEachOptions['fold']): unknown {
  if (!fold) return null;
  const what = 'The initial total of a forEach';
  const total = toJsonValue(fold.initial, what, maxInputBytes);
  if (isDeepStrictEqual(total, fold.initial)) return total;
  const message = `${what} must be plain JSON, not ${describeThrown(fold.initial)}: JSON represents it as ${JSON.stringify(total)}.`;
  throw new SentvecError('invalid-argument', message);
}

/**
 * Computes the next total, converted to JSON, because another process may continue the run at any item.
 * @throws SentvecError `step-failed` when the workflow's fold throws; `invalid-argument` when its result is a promise,
 * is not JSON, or is too large
 */
export function addToTotal(fold: ForEachOptions['fold'], total: unknown, result: unknown): unknown {
  if (!fold) return total;
  let added: unknown;
  try {
    added = fold.add(total, result);
  } catch (cause) {
    throw new SentvecError('step-failed', `The fold of a forEach failed: ${describeThrown(cause)}`, {}, { cause });
  }
  if (added instanceof Promise)
    throw new SentvecError('invalid-argument', 'The fold of a forEach must return its total, not a promise of it.');
  return toJsonValue(added, 'The total of a forEach', maxInputBytes);
}
