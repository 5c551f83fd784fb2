import { OrderedProgress } from './ordered-progress.ts';
import { attemptWithRetries, readSource, type LocalScope } from './retrying.ts';
import { runStages, sourcePath, type ForEachStage, type StageRunner } from './run-stages.ts';
import type { RunEventPayload } from './runtime.ts';
import type { AnyStep } from './step.ts';
import type { AnyWorkflow, ForEachResult } from './workflow.ts';

/** Executes stages in this process. `keyPrefix` is what the keys of its steps begin with. */
export class LocalStages implements StageRunner {
  readonly #scope: LocalScope;
  readonly #keyPrefix: string;

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
    const key = this.#keyPrefix + path;
    const progress = new OrderedProgress(stage.options.fold, (items, total) =>
      this.#scope.emit({ type: 'items', stage: path, items, total }),
    );
    const failed = new AbortController();
    const scope: LocalScope = { ...this.#scope, signal: AbortSignal.any([this.#scope.signal, failed.signal]) };
    const active = new Set<Promise<void>>();
    const work = async (index: number, item: unknown) => {
      try {
        progress.finish(index, await runItem(stage.body, item, `${key}#${index}`, scope));
      } catch (error) {
        if (!failed.signal.aborted) failed.abort(error);
      }
    };
    const concurrency = stage.options.concurrency ?? scope.concurrency;
    // One slow item must not let the finished ones behind it pile up.
    const farthest = concurrency * 8;
    try {
      for await (const item of readSource(
        stage.source,
        input,
        this.#keyPrefix + sourcePath(path, stage),
        scope,
        progress,
      )) {
        const task: Promise<void> = work(progress.plan(), item).finally(() => active.delete(task));
        active.add(task);
        while (!failed.signal.aborted && (active.size >= concurrency || progress.ahead >= farthest))
          await Promise.race(active);
        if (failed.signal.aborted) break;
      }
    } catch (error) {
      if (!failed.signal.aborted) failed.abort(error);
    }
    await Promise.all(active);
    if (failed.signal.aborted) throw failed.signal.reason;
    return { input, count: progress.end(), total: progress.total };
  }
}

/** Works on one item of a `forEach`: with a step, or with a whole workflow in this process. */
export async function runItem(
  body: AnyStep | AnyWorkflow,
  item: unknown,
  key: string,
  scope: LocalScope,
): Promise<unknown> {
  if (body.kind === 'step') return attemptWithRetries(body, item, key, scope);
  // Stages and items within an item are not those of the run: watchers hear only what carries a key.
  const emit = (payload: RunEventPayload) => {
    if ('key' in payload) scope.emit(payload);
  };
  return runStages(body, item, new LocalStages({ ...scope, emit }, `${key}/`));
}
