/** Executes the stages of a workflow in this process. */
import { AbortScope, throwIfAborted } from '@sentvec/platform';
import { OrderedProgress } from './ordered-progress.ts';
import { attemptWithRetries, readSource, type LocalScope } from './retrying.ts';
import { runStages, sourcePath, type ForEachStage, type StageRunner } from './run-stages.ts';
import type { RunEventPayload } from './runtime.ts';
import type { AnyStep } from './step.ts';
import type { AnyWorkflow, ForEachResult } from './workflow.ts';

export class LocalStages implements StageRunner {
  readonly #scope: LocalScope;
  readonly #keyPrefix: string;

  /** @param keyPrefix the prefix of the keys of its steps */
  constructor(scope: LocalScope, keyPrefix: string = `${scope.run}/`) {
    this.#scope = scope;
    this.#keyPrefix = keyPrefix;
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
    const active = new Set<Promise<void>>();
    const begin = (item: unknown): void => {
      const index = progress.plan();
      const task: Promise<void> = runItem(body, item, `${this.#keyPrefix}${path}#${index}`, scope)
        .then((result) => progress.finish(index, result))
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
    return { input, count: progress.end(), total: progress.total };
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
  return runStages(body, item, new LocalStages({ ...scope, emit }, `${key}/`));
}
