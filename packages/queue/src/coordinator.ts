import { randomUUID } from 'node:crypto';
import { SentvecError } from '@sentvec/core';
import {
  readSource,
  sourcePath,
  type AnyStep,
  type AnyWorkflow,
  type ForEachStage,
  type ForEachResult,
  type Logger,
  type RunEventPayload,
  type StageRunner,
} from '@sentvec/workflow';
import type { WatchedRun } from './run-monitor.ts';
import type { RunProgress, RunStore } from './run-store.ts';
import type { WaveQueue } from './wave-queue.ts';
import { WaveStage, type StageCheckpoint, type WaveStageOptions } from './wave-stage.ts';
import { Interruption } from './work-in-progress.ts';

/** What a {@link Coordinator} works with. */
export interface CoordinatorParts {
  readonly store: RunStore;
  readonly queue: WaveQueue;
  readonly watched: WatchedRun;
  /** Fires when the round is over, and for an {@link Interruption}. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly priority: number;
  /** How far an earlier coordinator brought the round. */
  readonly progress: Partial<RunProgress>;
  /** The most unfinished items of a stage in the queue. */
  readonly window: number;
}

/** One stage's items. */
interface StageItems extends Omit<WaveStageOptions, 'checkpoint'> {
  readonly body: AnyStep | AnyWorkflow;
  readonly read: (skip: number, expect: (items: number) => void) => AsyncGenerator<unknown, void>;
}

/**
 * Takes one round of a run through its stages, in a worker. Does none of the work: it puts items into the queue and
 * folds their results. When it dies, another takes over from the checkpoints; of two, only the one that owns the run
 * can write.
 */
export class Coordinator implements StageRunner {
  /** The name by which it owns the run. */
  readonly owner: string = randomUUID();
  readonly #parts: CoordinatorParts;
  #progress: Partial<RunProgress>;
  #wake: (() => void) | undefined;

  constructor(parts: CoordinatorParts) {
    this.#parts = parts;
    this.#progress = parts.progress;
  }

  /** To be called when a wave of the run has ended. */
  wake(): void {
    this.#wake?.();
  }

  async step(path: string, step: AnyStep, value: unknown): Promise<unknown> {
    const fold = { initial: null, add: (_total: unknown, result: unknown) => result };
    const read = async function* (skip: number) {
      if (skip === 0) yield value;
    };
    return (await this.#run(path, { body: step, read, fold, window: 1 })).total;
  }

  async forEach(path: string, stage: ForEachStage, input: unknown): Promise<ForEachResult<unknown, unknown>> {
    const { watched, signal, logger, window } = this.#parts;
    const { id: run, round } = watched;
    const { concurrency = window, fold } = stage.options;
    const scope = {
      run,
      runAttempt: round,
      signal,
      logger,
      concurrency: 1,
      untilResumed: () => watched.untilResumed(),
      emit: (payload: RunEventPayload) => this.#emit(payload),
    };
    const read = (skip: number, expect: (items: number) => void) =>
      readSource(stage.source, input, `${run}/${sourcePath(path, stage)}`, scope, { expect, skip });
    const done = await this.#run(path, { body: stage.body, read, fold, window: Math.min(concurrency, window) }, true);
    return { input, count: done.items, total: done.total };
  }

  async #run(path: string, { body, read, fold, window }: StageItems, countsItems = false): Promise<StageCheckpoint> {
    const { store, queue, watched, priority } = this.#parts;
    const { id: run, round } = watched;
    const saved = await store.checkpoint(run, path);
    const checkpoint = saved === null ? undefined : (JSON.parse(saved) as StageCheckpoint);
    if (checkpoint?.complete) return checkpoint;
    await this.#publish({ stage: path }, { type: 'stage', stage: path });
    const stage = new WaveStage(
      {
        queue,
        scope: { run, round, stage: path },
        options: { body, priority },
        save: async (value) => this.#mustOwn(await store.saveCheckpoint(run, this.owner, path, JSON.stringify(value))),
        report: async (items, total) => {
          if (countsItems)
            await this.#publish({ stage: path, items, total }, { type: 'items', stage: path, items, total });
        },
        mayAdd: async () => watched.untilResumed(),
        mayGoOn: async () => this.#mayGoOn(),
      },
      { window, fold, checkpoint },
    );
    this.#wake = stage.wake;
    return stage.run((skip) => read(skip, stage.expect));
  }

  async #mayGoOn(): Promise<void> {
    this.#parts.signal.throwIfAborted();
    const failure = await this.#parts.store.readFailure(this.#parts.watched.id);
    if (failure) throw SentvecError.from(failure);
  }

  async #publish(progress: RunProgress, payload: RunEventPayload): Promise<void> {
    const { store, watched } = this.#parts;
    this.#progress = { ...this.#progress, ...progress };
    this.#mustOwn(await store.saveProgress(watched.id, this.owner, this.#progress));
    await store.addEvent(watched.id, payload);
  }

  #mustOwn(owned: boolean): void {
    if (!owned) throw new Interruption('superseded');
  }

  #emit(payload: RunEventPayload): void {
    const { store, watched, logger } = this.#parts;
    store.addEvent(watched.id, payload).catch((error: unknown) => logger.warn({ error }, 'an event was lost'));
  }
}
