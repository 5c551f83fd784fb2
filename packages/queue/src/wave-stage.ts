import { addToTotal, initialTotal, OrderedProgress, type ForEachOptions, type RunItems } from '@sentvec/workflow';
import { ItemReader } from './item-reader.ts';
import { Wakeup } from './wakeup.ts';
import type { Wave, WaveOptions, WaveQueue, WaveScope } from './wave-queue.ts';

/** How far a stage is: everything that another coordinator needs to go on. JSON, of bounded size. */
export interface StageCheckpoint {
  /** Items at the beginning whose results are folded and gone. */
  readonly items: number;
  /** The fold of them. */
  readonly total: unknown;
  /** Waves that were announced and not yet folded, in order. The last may be announced only. */
  readonly waves: readonly Wave[];
  /** Number of the next wave. */
  readonly next: number;
  readonly complete: boolean;
}

/** What a stage asks of its coordinator. Each rejects when the coordinator is to let go of the run. */
export interface StageHost {
  readonly queue: WaveQueue;
  readonly scope: WaveScope;
  readonly options: WaveOptions;
  readonly save: (checkpoint: StageCheckpoint) => Promise<void>;
  readonly report: (items: RunItems, total: unknown) => Promise<void>;
  /** Resolves while items may be added; waits while the run is paused. */
  readonly mayAdd: () => Promise<void>;
  /** Resolves while the run is to go on. */
  readonly mayGoOn: () => Promise<void>;
}

/** Options of {@link WaveStage}. */
export interface WaveStageOptions {
  /** The most items in the queue, unfinished, at once. */
  readonly window: number;
  readonly fold: ForEachOptions['fold'];
  /** Where an earlier coordinator left off. */
  readonly checkpoint: StageCheckpoint | undefined;
}

/** Milliseconds between two looks at the results, when no event gives an occasion. */
const lookInterval = 500;

/** Milliseconds that a wave waits to be filled. */
const patience = 100;

/** The most waves that wait for one slow item among the first of them. */
const mostWaves = 32;

/**
 * Brings the items of one stage through the queue, in waves: never more than a window of them is unfinished in Redis,
 * at any size of the corpus. A wave is announced in the checkpoint before it is added, so that after a crash it is
 * known which items were on their way.
 */
export class WaveStage {
  readonly #host: StageHost;
  readonly #fold: ForEachOptions['fold'];
  readonly #window: number;
  readonly #waveSize: number;
  readonly #progress: OrderedProgress;
  readonly #results = new Map<number, unknown>();
  /** Numbers of the waves that are in Redis: one that was announced is not yet. */
  readonly #added = new Set<number>();
  readonly #room = new Wakeup();
  readonly #news = new Wakeup();
  #checkpoint: StageCheckpoint;
  #collected: Wave[] = [];
  #report: (() => Promise<void>) | undefined;
  #exhausted = false;
  #ended = false;

  constructor(host: StageHost, { window, fold, checkpoint }: WaveStageOptions) {
    this.#host = host;
    this.#fold = fold;
    this.#window = window;
    // Four waves in flight: while one waits for its last item, three keep the workers busy.
    this.#waveSize = Math.max(1, Math.floor(window / 4));
    this.#checkpoint = checkpoint ?? { items: 0, total: initialTotal(fold), waves: [], next: 0, complete: false };
    const { items, total } = this.#checkpoint;
    this.#progress = new OrderedProgress(fold, (counts, sum) => (this.#report = () => host.report(counts, sum)), {
      items,
      total,
    });
    for (const wave of this.#checkpoint.waves) this.#plan(wave.count);
  }

  /** Takes note of how many items there will be. */
  readonly expect = (items: number): void => this.#progress.expect(items);

  /** To be called when something happened to a wave. */
  readonly wake = (): void => this.#news.ring();

  /** @param read gives the items after the first so many */
  async run(read: (skip: number) => AsyncGenerator<unknown, void>): Promise<StageCheckpoint> {
    if (this.#checkpoint.complete) return this.#checkpoint;
    const reader = new ItemReader(read(this.#checkpoint.items));
    try {
      const filling = this.#fill(reader).catch((error: unknown) => {
        this.#news.ring();
        throw error;
      });
      await Promise.all([filling, this.#collect()]);
    } finally {
      this.#ended = true;
      this.#room.ring();
      await reader.close();
    }
    return this.#checkpoint;
  }

  async #fill(reader: ItemReader): Promise<void> {
    for (const wave of this.#checkpoint.waves) await this.#readd(wave, await reader.take(wave.count));
    for (;;) {
      while (!this.#ended && !this.#hasRoom()) await this.#room.wait(lookInterval);
      if (this.#ended) return;
      await this.#host.mayAdd();
      const items = await reader.takeSome(this.#waveSize, patience);
      if (this.#ended || items.length === 0) break;
      await this.#add(items);
    }
    this.#exhausted = true;
    this.#progress.end();
    this.#news.ring();
  }

  #hasRoom(): boolean {
    return this.#progress.unfinished + this.#waveSize <= this.#window && this.#checkpoint.waves.length < mostWaves;
  }

  async #add(items: readonly unknown[]): Promise<void> {
    const { waves, next } = this.#checkpoint;
    const last = waves.at(-1);
    const wave: Wave = {
      wave: next,
      first: last ? last.first + last.count : this.#checkpoint.items,
      count: items.length,
    };
    this.#plan(wave.count);
    await this.#advance({ waves: [...waves, wave], next: next + 1 });
    await this.#host.queue.add(this.#host.scope, wave, items, this.#host.options);
    this.#added.add(wave.wave);
  }

  /** A wave that was announced by an earlier coordinator, which may have died before it added it. */
  async #readd(wave: Wave, items: readonly unknown[]): Promise<void> {
    const { queue, scope, options } = this.#host;
    if (!(await queue.exists(scope, wave))) await queue.add(scope, wave, items, options);
    this.#added.add(wave.wave);
  }

  #plan(count: number): void {
    for (let index = 0; index < count; index += 1) this.#progress.plan();
  }

  async #collect(): Promise<void> {
    while (!this.#exhausted || this.#checkpoint.waves.length > 0 || this.#collected.length > 0) {
      await this.#news.wait(lookInterval);
      if (this.#ended) return;
      await this.#host.mayGoOn();
      for (const wave of this.#checkpoint.waves) if (!this.#isFinished(wave)) await this.#look(wave);
      await this.#foldFinishedWaves();
      await this.#report?.();
      this.#report = undefined;
    }
    await this.#advance({ complete: true });
  }

  async #look(wave: Wave): Promise<void> {
    if (!this.#added.has(wave.wave)) return;
    for (const [index, result] of await this.#host.queue.results(this.#host.scope, wave)) {
      if (this.#results.has(index)) continue;
      this.#results.set(index, result);
      this.#progress.finish(index, result);
      this.#room.ring();
    }
  }

  async #foldFinishedWaves(): Promise<void> {
    let { items, total, waves } = this.#checkpoint;
    for (let wave = waves[0]; wave && this.#isFinished(wave); wave = waves[0]) {
      for (const index of indices(wave)) {
        total = addToTotal(this.#fold, total, this.#results.get(index));
        this.#results.delete(index);
      }
      this.#added.delete(wave.wave);
      items += wave.count;
      waves = waves.slice(1);
      this.#collected.push(wave);
    }
    if (items !== this.#checkpoint.items) await this.#advance({ items, total, waves });
    // Only what the checkpoint says to be folded may be taken away. A parent that a worker holds is left for the next
    // time.
    const left = await Promise.all(
      this.#collected.map(async (wave) => !(await this.#host.queue.remove(this.#host.scope, wave))),
    );
    this.#collected = this.#collected.filter((_wave, index) => left[index]);
  }

  #isFinished(wave: Wave): boolean {
    return indices(wave).every((index) => this.#results.has(index));
  }

  async #advance(change: Partial<StageCheckpoint>): Promise<void> {
    this.#checkpoint = { ...this.#checkpoint, ...change };
    await this.#host.save(this.#checkpoint);
  }
}

function indices({ first, count }: Wave): number[] {
  return Array.from({ length: count }, (_, offset) => first + offset);
}
