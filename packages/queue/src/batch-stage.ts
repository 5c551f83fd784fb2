// Executes the items of one stage through the queue, in batches and in constant memory. See docs/adr/0011.
import {
  addToTotal,
  initialTotal,
  OrderedProgress,
  type ForEachOptions,
  type ReadSourceOptions,
  type RunItems,
} from '@sentvec/workflow';
import type { BatchOptions, BatchQueue, BatchScope, IndexedItem, JobBatch } from './batch-queue.ts';
import { ItemReader } from './item-reader.ts';
import { Signal } from './signal.ts';

/** The checkpoint of a stage: everything that another coordinator needs to continue it. JSON of bounded size. */
export interface StageCheckpoint {
  /** How many of the first items are folded into `total` and removed from the queue. */
  readonly items: number;
  /** How many of these items failed; they are left out of `total`. Absent: none. */
  readonly failed?: number | undefined;
  /** The fold of these items. */
  readonly total: unknown;
  /** The following batches, in order. The last one may not be in the queue yet. */
  readonly batches: readonly JobBatch[];
  /** The number of the next batch. */
  readonly next: number;
  readonly complete: boolean;
}

/**
 * The functions of the coordinator that a stage needs. Each rejects when the coordinator must stop working on the run.
 */
export interface StageHost {
  readonly queue: BatchQueue;
  readonly scope: BatchScope;
  readonly options: BatchOptions;
  readonly save: (checkpoint: StageCheckpoint) => Promise<void>;
  readonly report: (items: RunItems, total: unknown) => Promise<void>;
  readonly isPaused: () => boolean;
  /** Resolves when items may be added. Waits while the run is paused. */
  readonly untilResumed: () => Promise<void>;
  /** Releases parked items. Rejects when the attempt is over. */
  readonly checkRun: () => Promise<void>;
  /** Whether an item failed in an earlier attempt and is not tried again in this one. */
  readonly hasFailed: (item: IndexedItem) => Promise<boolean>;
  /** Keeps what is known about an item that failed for good. `reason`: BullMQ's. */
  readonly keepFailed: (index: number, reason: string) => Promise<void>;
  /** Rejects when more items have failed than may. */
  readonly checkFailed: (items: RunItems) => void;
}

/** Options of {@link BatchStage}. */
export interface BatchStageOptions {
  /** Returns the maximum number of unfinished items in the queue. Called before each batch. */
  readonly window: () => number;
  readonly fold: ForEachOptions['fold'];
  /** The checkpoint of an earlier coordinator. */
  readonly checkpoint: StageCheckpoint | undefined;
}

/** Milliseconds between two polls of the results, if no event triggers one earlier. */
const pollInterval = 500;

/** The poll interval of a paused run, in which only items that have already begun can finish. */
const pausedPollInterval = 5000;

/** Maximum milliseconds that a batch waits for more items after its first one. */
const fillTimeout = 100;

/** Maximum number of batches in the queue. Finished batches after a slow item stay until the item is done. */
const maxBatches = 32;

/** In place of the result of an item that failed. */
const failedItem = Symbol('failed item');

/**
 * Executes one stage through the queue. The number of unfinished items in Redis never exceeds the window, for corpora
 * of any size. A batch is written to the checkpoint before it is added to the queue, so that after a crash the next
 * coordinator knows which items may be in progress.
 */
export class BatchStage {
  readonly #host: StageHost;
  readonly #fold: ForEachOptions['fold'];
  readonly #window: () => number;
  readonly #progress: OrderedProgress;
  readonly #results = new Map<number, unknown>();
  /** Numbers of the batches that are in the queue. */
  readonly #added = new Set<number>();
  readonly #room = new Signal();
  readonly #changed = new Signal();
  #checkpoint: StageCheckpoint;
  #folded: JobBatch[] = [];
  #report: (() => Promise<void>) | undefined;
  #exhausted = false;
  #ended = false;

  constructor(host: StageHost, { window, fold, checkpoint }: BatchStageOptions) {
    this.#host = host;
    this.#fold = fold;
    this.#window = window;
    this.#checkpoint = checkpoint ?? { items: 0, total: initialTotal(fold), batches: [], next: 0, complete: false };
    const { items, total, failed } = this.#checkpoint;
    this.#progress = new OrderedProgress(fold, (counts, sum) => (this.#report = () => host.report(counts, sum)), {
      items,
      total,
      failed,
    });
    for (const batch of this.#checkpoint.batches) this.#plan(batch.count);
  }

  /** Triggers a poll of the results, because a batch has changed. */
  readonly wake = (): void => this.#changed.notify();

  async run(read: (options: ReadSourceOptions) => AsyncGenerator<unknown, void>): Promise<StageCheckpoint> {
    const { items, batches, complete } = this.#checkpoint;
    if (complete) return this.#checkpoint;
    const least = batches.reduce((sum, { count }) => sum + count, items);
    const reader = new ItemReader(read({ skip: items, least, expect: (count) => this.#progress.expect(count) }));
    try {
      const filling = this.#fill(reader).catch((error: unknown) => {
        this.#changed.notify();
        throw error;
      });
      await Promise.all([filling, this.#collect()]);
    } finally {
      this.#ended = true;
      this.#room.notify();
      await reader.close();
    }
    return this.#checkpoint;
  }

  async #fill(reader: ItemReader): Promise<void> {
    for (const batch of this.#checkpoint.batches) {
      // The coordinator that wrote the checkpoint may have added it.
      const isThere = await this.#host.queue.exists(this.#host.scope, batch);
      await this.#addJobs(batch, await reader.take(batch.count), isThere);
    }
    for (;;) {
      while (!this.#ended && !this.#hasRoom()) await this.#room.wait(pollInterval);
      if (this.#ended) return;
      await this.#host.untilResumed();
      const items = await reader.takeWithin(this.#batchSize, fillTimeout);
      if (this.#ended || items.length === 0) break;
      await this.#add(items);
    }
    this.#exhausted = true;
    this.#progress.end();
    this.#changed.notify();
  }

  /** A quarter of the window: while one batch waits for its last item, three others keep the workers busy. */
  get #batchSize(): number {
    return Math.max(1, Math.floor(this.#window() / 4));
  }

  #hasRoom(): boolean {
    return (
      this.#progress.unfinished + this.#batchSize <= this.#window() && this.#checkpoint.batches.length < maxBatches
    );
  }

  async #add(items: readonly unknown[]): Promise<void> {
    const { batches, next } = this.#checkpoint;
    const last = batches.at(-1);
    const first = last ? last.first + last.count : this.#checkpoint.items;
    const batch: JobBatch = { number: next, first, count: items.length };
    this.#plan(batch.count);
    await this.#advance({ batches: [...batches, batch], next: next + 1 });
    await this.#addJobs(batch, items, false);
  }

  /** Adds the jobs of a batch unless they are there. Items that are not tried again have none. */
  async #addJobs(batch: JobBatch, values: readonly unknown[], areThere: boolean): Promise<void> {
    const { queue, scope, options } = this.#host;
    const items: IndexedItem[] = [];
    const failed: IndexedItem[] = [];
    for (const [offset, value] of values.entries()) {
      const item = { index: batch.first + offset, value };
      ((await this.#host.hasFailed(item)) ? failed : items).push(item);
    }
    if (!areThere) await queue.add(scope, batch, items, options);
    this.#added.add(batch.number);
    for (const { index } of failed) this.#fail(index);
  }

  #fail(index: number): void {
    if (this.#results.has(index)) return;
    this.#results.set(index, failedItem);
    this.#progress.fail(index);
    this.#host.checkFailed(this.#progress.items);
    this.#changed.notify();
  }

  #plan(count: number): void {
    for (let index = 0; index < count; index += 1) this.#progress.plan();
  }

  async #collect(): Promise<void> {
    while (!this.#exhausted || this.#checkpoint.batches.length > 0 || this.#folded.length > 0) {
      await this.#changed.wait(this.#host.isPaused() ? pausedPollInterval : pollInterval);
      if (this.#ended) return;
      await this.#host.checkRun();
      for (const batch of this.#checkpoint.batches) if (!this.#isFinished(batch)) await this.#readResults(batch);
      await this.#foldFinishedBatches();
      await this.#report?.();
      this.#report = undefined;
    }
    // Now it is known of how many items a percentage is one.
    this.#host.checkFailed(this.#progress.items);
    await this.#advance({ complete: true });
  }

  async #readResults(batch: JobBatch): Promise<void> {
    if (!this.#added.has(batch.number)) return;
    const { done, failed } = await this.#host.queue.results(this.#host.scope, batch);
    for (const [index, result] of done) {
      if (this.#results.has(index)) continue;
      this.#results.set(index, result);
      this.#progress.finish(index, result);
      this.#room.notify();
    }
    for (const [index, reason] of failed) {
      if (this.#results.has(index)) continue;
      await this.#host.keepFailed(index, reason);
      this.#fail(index);
      this.#room.notify();
    }
  }

  async #foldFinishedBatches(): Promise<void> {
    let { items, total, batches, failed = 0 } = this.#checkpoint;
    for (let batch = batches[0]; batch && this.#isFinished(batch); batch = batches[0]) {
      for (const index of indices(batch)) {
        const result = this.#results.get(index);
        if (result === failedItem) failed += 1;
        else total = addToTotal(this.#fold, total, result);
        this.#results.delete(index);
      }
      this.#added.delete(batch.number);
      items += batch.count;
      batches = batches.slice(1);
      this.#folded.push(batch);
    }
    if (items !== this.#checkpoint.items) await this.#advance({ items, total, batches, ...(failed > 0 && { failed }) });
    // Remove a batch only after the checkpoint contains its fold. A locked batch is tried again later.
    const isLeft = await Promise.all(
      this.#folded.map(async (batch) => !(await this.#host.queue.remove(this.#host.scope, batch))),
    );
    this.#folded = this.#folded.filter((_batch, index) => isLeft[index]);
  }

  #isFinished(batch: JobBatch): boolean {
    return indices(batch).every((index) => this.#results.has(index));
  }

  async #advance(change: Partial<StageCheckpoint>): Promise<void> {
    this.#checkpoint = { ...this.#checkpoint, ...change };
    await this.#host.save(this.#checkpoint);
  }
}

function indices({ first, count }: JobBatch): number[] {
  return Array.from({ length: count }, (_, offset) => first + offset);
}
