// Coordinates one attempt of a run: adds the items of its stages to the queue, folds their results, and writes
// checkpoints.
import { randomUUID } from 'node:crypto';
import {
  IncompleteError,
  isSameItem,
  itemId,
  itemReference,
  readSource,
  sourcePath,
  tooManyFailed,
  type AnyStep,
  type AnyWorkflow,
  type ForEachResult,
  type ForEachStage,
  type Logger,
  type ReadSourceOptions,
  type RunError,
  type RunEventPayload,
  type StageRunner,
} from '@sentvec/workflow';
import { Interruption } from './active-jobs.ts';
import type { MaxFailed } from '@sentvec/platform';
import type { BatchQueue } from './batch-queue.ts';
import { BatchStage, type BatchStageOptions, type StageCheckpoint } from './batch-stage.ts';
import type { ParkedJobs } from './parked-jobs.ts';
import type { RunProgress } from './run-fields.ts';
import type { RunStore } from './run-store.ts';
import type { RunAttempt } from './run-watcher.ts';
import type { PinnedModel } from './served-models.ts';

/** Milliseconds between two probes of an open circuit breaker. The delay doubles each time. */
const probeDelay = { first: 1000, max: 30_000 };

/** The error for a step, or for more items than allowed, that have failed permanently, on any workers. */
export class FailedStep extends Error {
  readonly error: RunError;

  constructor(error: RunError) {
    super(error.message);
    this.error = error;
  }
}

/** Dependencies of a {@link Coordinator}. */
export interface CoordinatorParts {
  readonly store: RunStore;
  readonly queue: BatchQueue;
  readonly parked: ParkedJobs;
  readonly run: RunAttempt;
  /** Aborted when the attempt is over, or by an {@link Interruption}. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly priority: number;
  /** How many items of a stage may fail. */
  readonly maxFailed: MaxFailed;
  /** The checkpoints of an earlier coordinator of the attempt. */
  readonly progress: Partial<RunProgress>;
  /** Returns the maximum number of unfinished items of a stage in the queue, for the current number of workers. */
  readonly window: () => number;
  /** See {@link WorkerParts.isServed}. */
  readonly isServed: (model: PinnedModel) => boolean;
  /** Milliseconds without a worker for the model of the run after which the coordinator stops. */
  readonly unservedTimeout: number;
}

/** The items of one stage. */
interface StageItems extends Omit<BatchStageOptions, 'checkpoint'> {
  readonly body: AnyStep | AnyWorkflow;
  readonly maxFailed: MaxFailed;
  readonly read: (options: ReadSourceOptions) => AsyncGenerator<unknown, void>;
}

/**
 * Coordinates one attempt of a run, stage by stage. It adds items to the queue and folds their results; workers execute
 * the steps. If its worker dies, another coordinator continues from the checkpoints. If there are two coordinators,
 * only the owner of the run can write.
 */
export class Coordinator implements StageRunner {
  /** Identifies this coordinator as the owner of the run. */
  readonly owner: string = randomUUID();
  readonly #parts: CoordinatorParts;
  #progress: Partial<RunProgress>;
  #probes = 0;
  #nextProbe = 0;
  #unservedSince: number | undefined;
  #wakeStage: (() => void) | undefined;

  constructor(parts: CoordinatorParts) {
    this.#parts = parts;
    this.#progress = parts.progress;
  }

  /** Triggers a poll of the results, because a batch of the run has ended. */
  wake(): void {
    this.#wakeStage?.();
  }

  async step(path: string, step: AnyStep, value: unknown): Promise<unknown> {
    const fold = { initial: null, add: (_total: unknown, result: unknown) => result };
    const read = async function* ({ skip }: ReadSourceOptions) {
      if (skip === 0) yield value;
    };
    return (await this.#run(path, { read, fold, window: () => 1, body: step, maxFailed: 0 })).total;
  }

  async forEach(path: string, stage: ForEachStage, input: unknown): Promise<ForEachResult<unknown, unknown>> {
    const { run, signal, logger, window, maxFailed } = this.#parts;
    const { concurrency = Infinity, fold } = stage.options;
    const scope = {
      run: run.id,
      runAttempt: run.attempt,
      signal,
      logger,
      concurrency: 1,
      untilResumed: () => run.untilResumed(),
      emit: (payload: RunEventPayload) => this.#emit(payload),
    };
    const read = (options: ReadSourceOptions) =>
      readSource(stage.source, input, `${run.id}/${sourcePath(path, stage)}`, scope, options);
    const items = { read, fold, window: () => Math.min(concurrency, window()), body: stage.body, maxFailed };
    const done = await this.#run(path, items, true);
    const { failed, items: count } = done;
    if (failed !== undefined) throw new IncompleteError(run.id, failed, count);
    return { input, count, total: done.total };
  }

  async #run(
    path: string,
    { read, fold, window, body, maxFailed }: StageItems,
    countsItems = false,
  ): Promise<StageCheckpoint> {
    const { store, queue, run, priority } = this.#parts;
    const saved = await store.checkpoint(run.id, path);
    const checkpoint = saved === null ? undefined : (JSON.parse(saved) as StageCheckpoint);
    if (checkpoint?.complete) return checkpoint;
    await this.#publish({ stage: path }, { type: 'stage', stage: path });
    const scope = { run: run.id, attempt: run.attempt, stage: path };
    const idOf = (index: number): string => (countsItems ? itemId(path, index) : path);
    const earlier = await store.failedItems(run.id);
    const failedItems = new Map(earlier.map((item) => [item.id, item]));
    let last = earlier.at(-1);
    const stage = new BatchStage(
      {
        queue,
        scope,
        options: { priority, model: run.model },
        save: async (value) =>
          this.#mustOwn(await store.saveCheckpoint(run.id, this.owner, path, JSON.stringify(value))),
        report: async (items, total) => {
          if (countsItems)
            await this.#publish({ stage: path, items, total }, { type: 'items', stage: path, items, total });
        },
        isPaused: () => run.paused,
        untilResumed: async () => run.untilResumed(),
        checkRun: async () => this.#checkRun(),
        hasFailed: async ({ index, value }) => {
          const found = failedItems.get(idOf(index));
          if (!found) return false;
          if (isSameItem(found, value)) {
            last = found;
            return true;
          }
          failedItems.delete(found.id);
          this.#mustOwn(await store.removeFailedItem(run.id, this.owner, found.id));
          return false;
        },
        keepFailed: async (index, reason) => {
          const known = await queue.failedItem(scope, index, reason, run);
          last = { ...known, id: idOf(index), reference: itemReference(body, known.value) };
          this.#mustOwn(await store.keepFailedItem(run.id, this.owner, last));
        },
        checkFailed: (items) => {
          const tooMany = last && tooManyFailed(maxFailed, items, last.error);
          if (tooMany) throw new FailedStep(tooMany);
        },
      },
      { window, fold, checkpoint },
    );
    this.#wakeStage = stage.wake;
    run.onChange = stage.wake;
    return stage.run(read);
  }

  async #checkRun(): Promise<void> {
    this.#parts.signal.throwIfAborted();
    this.#checkServed();
    await this.#release();
  }

  /**
   * Stops coordinating a run whose model no worker has had for a while. Its jobs stay in the queue. A worker coordinates it
   * again as soon as a worker has the model.
   */
  #checkServed(): void {
    const { run, isServed, unservedTimeout } = this.#parts;
    if (run.model === undefined || isServed(run.model)) this.#unservedSince = undefined;
    else if (performance.now() - (this.#unservedSince ??= performance.now()) >= unservedTimeout)
      throw new Interruption('unserved');
  }

  /**
   * Releases parked jobs that are due. While the circuit breaker of the run is open, it releases one at a time, as a
   * probe.
   */
  async #release(): Promise<void> {
    const { parked, run } = this.#parts;
    if (!run.isCircuitOpen) {
      this.#probes = 0;
      return parked.release(run);
    }
    const now = performance.now();
    if (this.#probes === 0) this.#scheduleProbe(now);
    if (now >= this.#nextProbe && (await parked.releaseProbe(run))) this.#scheduleProbe(now);
  }

  #scheduleProbe(now: number): void {
    this.#nextProbe = now + Math.min(probeDelay.first * 2 ** this.#probes, probeDelay.max);
    this.#probes += 1;
  }

  async #publish(progress: RunProgress, payload: RunEventPayload): Promise<void> {
    const { store, run } = this.#parts;
    this.#progress = { ...this.#progress, ...progress };
    this.#mustOwn(await store.saveProgress(run.id, this.owner, this.#progress));
    await store.addEvent(run.id, run.attempt, payload);
  }

  #mustOwn(isOwner: boolean): void {
    if (!isOwner) throw new Interruption('superseded');
  }

  #emit(payload: RunEventPayload): void {
    const { store, run, logger } = this.#parts;
    store.addEvent(run.id, run.attempt, payload).catch((error: unknown) => logger.warn({ error }, 'an event was lost'));
  }
}
