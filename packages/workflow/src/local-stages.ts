/** Executes the stages of a workflow in this process. */
import { SentvecError } from '@sentvec/core';
import { AbortScope, throwIfAborted } from '@sentvec/platform';
import { toRunError } from './attempt.ts';
import { IncompleteError, itemId, itemReference, tooManyFailed, type FailedItems } from './failed-items.ts';
import { OrderedProgress } from './ordered-progress.ts';
import { attemptWithRetries, readSource, type LocalScope } from './retrying.ts';
import { runStages, sourcePath, type ForEachStage, type StageRunner } from './run-stages.ts';
import type { RunError, RunEventPayload } from './runtime.ts';
import type { AnyStep } from './step.ts';
import type { AnyWorkflow, ForEachResult } from './workflow.ts';

/** Options of {@link LocalStages}. */
export interface LocalStagesOptions {
  readonly keyPrefix?: string | undefined;
  readonly failedItems?: FailedItems | undefined;
}

export class LocalStages implements StageRunner {
  readonly #scope: LocalScope;
  readonly #keyPrefix: string;

  readonly #failedItems: FailedItems | undefined;

  /**
   * @param keyPrefix the prefix of the keys of its steps
   * @param failedItems of the run. Without them, the first item that fails ends the stage.
   */
  constructor(scope: LocalScope, { keyPrefix = `${scope.run}/`, failedItems }: LocalStagesOptions = {}) {
    this.#scope = scope;
    this.#keyPrefix = keyPrefix;
    this.#failedItems = failedItems;
  }

  async step(path: string, step: AnyStep, value: unknown): Promise<unknown> {
    this.#scope.emit({ type: 'stage', stage: path });
    return attemptWithRetries(step, value, this.#keyPrefix + path, this.#scope);
  }

  async forEach(path: string, stage: ForEachStage, input: unknown): Promise<ForEachResult<unknown, unknown>> {
    this.#scope.emit({ type: 'stage', stage: path });
    const { body, options, source } = stage;
    const progress = new OrderedProgress(options.fold, (items, total) =>
      this.#scope.emit({ type: 'items', stage: path, items, total }),
    );
    const items = new AbortScope(this.#scope.signal);
    const scope: LocalScope = { ...this.#scope, signal: items.signal };
    let failure: { readonly error: unknown } | undefined;
    const fail = (error: unknown): void => {
      failure ??= { error };
      items.abort(error);
    };
    const failedItems = this.#failedItems;
    let last: RunError | undefined;
    const checkFailed = (cause?: unknown): void => {
      const tooMany = last && tooManyFailed(failedItems?.maxFailed ?? 0, progress.items, last);
      if (!tooMany) return;
      // The only failure, where none may fail, is that of the run.
      const isCause = tooMany === last && cause !== undefined;
      throw isCause ? cause : new SentvecError(tooMany.code, tooMany.message, tooMany.details, { cause });
    };
    const setAside = (index: number, error: RunError, cause?: unknown): void => {
      last = error;
      progress.fail(index);
      checkFailed(cause);
    };
    const active = new Set<Promise<void>>();
    const begin = (item: unknown): void => {
      const index = progress.plan();
      const id = itemId(path, index);
      const earlier = failedItems?.find(id, item);
      if (earlier) return setAside(index, earlier.error);
      const key = this.#keyPrefix + id;
      const task: Promise<void> = runItem(body, item, key, scope)
        .then(
          (result) => progress.finish(index, result),
          (error: unknown) => {
            if (items.signal.aborted || !failedItems) throw error;
            const plain = toRunError(error, key);
            const attempts = Number(plain.details['attempts'] ?? 1);
            const reference = itemReference(body, item);
            failedItems.add({ id, reference, value: item, error: plain, attempts, at: Date.now() });
            setAside(index, plain, error);
          },
        )
        .catch(fail)
        .finally(() => active.delete(task));
      active.add(task);
    };
    const concurrency = options.concurrency ?? scope.concurrency;
    // Limit how far items run ahead of a slow one, because their results are kept until it finishes.
    const maxAhead = concurrency * 8;
    try {
      const key = this.#keyPrefix + sourcePath(path, stage);
      for await (const item of readSource(source, input, key, scope, progress)) {
        begin(item);
        while (!items.signal.aborted && (active.size >= concurrency || progress.ahead >= maxAhead))
          await Promise.race(active);
        throwIfAborted(items.signal);
      }
    } catch (error) {
      fail(error);
    }
    await Promise.all(active);
    items.close();
    if (failure) throw failure.error;
    const count = progress.end();
    checkFailed();
    const { failed } = progress.items;
    if (failed !== undefined) throw new IncompleteError(this.#scope.run, failed, count);
    return { input, count, total: progress.total };
  }
}

/** Executes the body of a `forEach` for one item: a step, or a nested workflow in this process. */
export async function runItem(
  body: AnyStep | AnyWorkflow,
  item: unknown,
  key: string,
  scope: LocalScope,
): Promise<unknown> {
  if (body.kind === 'step') return attemptWithRetries(body, item, key, scope);
  // Drop stage and item events of a nested workflow, because watchers would mistake them for those of the run. Step
  // events have a key, so they are unambiguous.
  const emit = (payload: RunEventPayload) => {
    if ('key' in payload) scope.emit(payload);
  };
  return runStages(body, item, new LocalStages({ ...scope, emit }, { keyPrefix: `${key}/` }));
}
