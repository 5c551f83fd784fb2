/** Failed items: what is kept of an item that failed for good, and what too many of them do to a run. */
import { SentvecError } from '@sentvec/core';
import { allowedFailures, canonicalJson, type MaxFailed } from '@sentvec/platform';
import type { FailedItem, RunError, RunItems } from './runtime.ts';
import type { AnyStep } from './step.ts';
import { describeThrown, shorten } from './values.ts';
import type { AnyWorkflow } from './workflow.ts';

/** The most characters of a reference. */
const maxReferenceLength = 1000;

/** The id of an item in its run: `embed#17`. Of a step that is executed once, its path. */
export function itemId(stage: string, index: number): string {
  return `${stage}#${index}`;
}

/** Names an item for people, as the step that takes it says. Never throws. */
export function itemReference(body: AnyStep | AnyWorkflow, value: unknown): string {
  const step = body.kind === 'step' ? body : undefined;
  try {
    const reference = step?.reference?.(value as never) ?? JSON.stringify(value);
    return shorten(reference, maxReferenceLength);
  } catch (error) {
    return `An item that its step cannot name: ${shorten(describeThrown(error), maxReferenceLength)}`;
  }
}

/** Whether a failed item is this one: an index alone may belong to another item when inputs have changed. */
export function isSameItem({ value }: FailedItem, other: unknown): boolean {
  return canonicalJson(value ?? null) === canonicalJson(other ?? null);
}

/** Some items failed, no more than may: all others are done, and the stages after them do not begin. */
export class IncompleteError extends SentvecError {
  constructor(run: string, failed: number, items: number) {
    const some = failed === 1 ? '1 of its items' : `${failed} of its items`;
    const message = `Run ${run} is not complete: ${some} failed, of ${items}. Look at them, mend the cause, and replay the run: it then ends as if they had never failed.`;
    super('incomplete', message, { run, failed, items });
  }
}

/**
 * The error of a run in which more items have failed than may; `undefined` when they have not. A percentage is one of
 * the items that the source expects, until all of them are known.
 *
 * @param last why the last of them failed
 */
export function tooManyFailed(maxFailed: MaxFailed, items: RunItems, last: RunError): RunError | undefined {
  const { failed = 0, expected } = items;
  // While the source does not say how many items there will be, nobody knows of how many the percentage is one.
  const allowed = allowedFailures(maxFailed, expected ?? Number.MAX_SAFE_INTEGER);
  if (failed <= allowed) return undefined;
  if (allowed === 0 && failed === 1) return last;
  const most = typeof maxFailed === 'number' ? `${allowed}` : `${allowed} (${maxFailed})`;
  const message = `${failed} items failed, and at most ${most} may (\`maxFailed\`). The last: ${last.message}`;
  return { ...last, message, details: { ...last.details, failed } };
}

/** The failed items of a run in this process. */
export class FailedItems {
  readonly maxFailed: MaxFailed;
  readonly #items = new Map<string, FailedItem>();

  constructor(maxFailed: MaxFailed) {
    this.maxFailed = maxFailed;
  }

  /** In the order of their stages and indices. */
  list(): readonly FailedItem[] {
    return sortItems([...this.#items.values()]);
  }

  /** The record of an item that has failed already and is not tried again. A record of another item is dropped. */
  find(id: string, value: unknown): FailedItem | undefined {
    const found = this.#items.get(id);
    if (found && isSameItem(found, value)) return found;
    this.#items.delete(id);
    return undefined;
  }

  add(item: FailedItem): void {
    this.#items.set(item.id, item);
  }

  /** Drops the items that the next attempt tries again: by default all. */
  retry(ids: readonly string[] = [...this.#items.keys()]): void {
    for (const id of ids) this.#items.delete(id);
  }
}

/** Failed items in the order of their stages and indices. */
export function sortItems(items: readonly FailedItem[]): readonly FailedItem[] {
  const indexOf = ({ id }: FailedItem): number => Number(id.slice(id.indexOf('#') + 1));
  const stageOf = ({ id }: FailedItem): string => id.slice(0, id.indexOf('#'));
  return items.toSorted((a, b) =>
    stageOf(a) < stageOf(b) ? -1 : stageOf(a) > stageOf(b) ? 1 : indexOf(a) - indexOf(b),
  );
}

/** @throws SentvecError `invalid-argument` for an id that is not that of a failed item of the run */
export function checkFailedIds(run: string, ids: readonly string[], items: readonly FailedItem[]): void {
  const known = new Set(items.map(({ id }) => id));
  const unknown = ids.find((id) => !known.has(id));
  if (unknown === undefined) return;
  const some = [...known].slice(0, 10).join(', ') || 'none';
  const message = `Run ${run} has no failed item ${JSON.stringify(shorten(unknown, 100))}. Its failed items: ${some}${known.size > 10 ? ' …' : ''}.`;
  throw new SentvecError('invalid-argument', message, { run, item: unknown });
}
