/** Progress of a `forEach` whose items finish in any order. */
import { isDeepStrictEqual } from 'node:util';
import { SentvecError } from '@sentvec/core';
import type { RunItems } from './runtime.ts';
import { describeThrown, maxInputBytes, toJsonValue } from './values.ts';
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

  /** Sets how many items there will be. A number that is not finite means that it is not known. */
  readonly expect = (items: number): void => {
    this.#expected = Number.isFinite(items) ? Math.round(items) : undefined;
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
    const expected = this.#expected === undefined ? undefined : Math.max(this.#expected, this.#planned);
    return { done: this.#done, planned: this.#planned, expected };
  }
}

/**
 * What a fold begins with: a copy, so that a fold that changes its total in place does not spoil the next run.
 * @throws SentvecError `invalid-argument` for what JSON cannot hold, such as `-Infinity` or a `Set`: another process
 * that goes on with the run would begin with something else
 */
export function initialTotal(fold: ForEachOptions['fold']): unknown {
  if (!fold) return null;
  const what = 'The initial total of a forEach';
  const total = toJsonValue(fold.initial, what, maxInputBytes);
  if (isDeepStrictEqual(total, fold.initial)) return total;
  const message = `${what} must be plain JSON, not ${describeThrown(fold.initial)}: JSON has ${JSON.stringify(total)} for it.`;
  throw new SentvecError('invalid-argument', message);
}

/**
 * The next total, as JSON has it: the run may go on in another process at any item.
 * @throws SentvecError `step-failed` when the workflow's own function throws; `invalid-argument` when its result is a
 * promise, or not JSON, or too large for the input of the next step
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
