// Schedules the batches of all calls of a model: decides which texts share a batch and which batch is computed next,
// and delivers the vectors to the calls.
import { abortError, nextTask, onAbort, throwIfAborted, yieldToEventLoop } from '@sentvec/platform';
import type { Encoder } from '../backend.ts';
import { SentvecError } from '../errors.ts';
import type { Head, Matrix, TokenizedText } from '../types.ts';
import { countVectors, paddedLength, planBatches } from './batching.ts';
import { encodeBatch } from './encode-batch.ts';

/** How a batch is computed. Only texts with equal settings can be in one batch. */
export interface BatchSettings {
  readonly head: Head;
  /** Length of a vector. */
  readonly dimension: number;
  /** Maximum size of a batch in positions: rows × tokens of the longest text. */
  readonly batchTokens: number;
  /** Leading tokens of a text that pooling leaves out. */
  readonly unpooledTokens: number;
  readonly paddingId: number;
}

/** Texts to encode, and where their vectors go. */
export interface BatchRequest {
  readonly texts: readonly TokenizedText[];
  readonly settings: BatchSettings;
  /**
   * Whether the texts may be in a batch with those of other requests, and with texts of other lengths. Rounding then
   * makes their vectors depend slightly on the other texts of the batch. If `false`, each vector depends on its text
   * alone, provided that the backend computes each row of a batch independently.
   */
  readonly shared: boolean;
  readonly signal: AbortSignal;
  /** Receives the vectors of this request's texts in a batch. If it throws, the request fails with that error. */
  readonly deliver: (part: BatchPart) => void;
  /**
   * Returns the error with which the request fails, given the error of a batch and the indices of the request's texts
   * in it.
   */
  readonly describeFailure: (error: unknown, indices: readonly number[]) => unknown;
}

/** The texts of a request that were in one batch. */
export interface BatchPart {
  /** Indices of the texts in `BatchRequest.texts`. */
  readonly indices: readonly number[];
  /** The vector of each text; if the head does not pool, the vectors of its tokens, one after the other. */
  readonly vectors: readonly Float32Array[];
  /** Positions that the encoder computed for these texts, padding included. */
  readonly positions: number;
}

/** A text that waits to be put into a batch. */
interface WaitingText {
  readonly request: PendingRequest;
  readonly index: number;
}

/** A batch that is ready to be computed. */
interface Batch {
  /** Longest first. */
  readonly texts: readonly WaitingText[];
  readonly settings: BatchSettings;
  /** Whether the batch combines texts of several small requests. */
  readonly shared: boolean;
}

/** An entry of the queue: a large request, or the pooled texts of small requests. */
interface Waiting {
  readonly isEmpty: boolean;
  /** The next batch; `undefined` when it is better to wait for more texts. */
  next(load: Load): Batch | undefined;
  remove(request: PendingRequest): void;
}

/** How busy the encoder is. */
interface Load {
  /** Batches that the encoder computes at once. */
  readonly concurrency: number;
  readonly inFlight: number;
  /** How many of the batches in flight combine texts of small requests. */
  readonly sharedInFlight: number;
}

/**
 * How many waiting texts are sorted by length to fill one batch: sorting more of them takes longer than the padding
 * that it saves.
 */
const maxTextsToSort = 512;

/**
 * Smallest number of positions in a batch when texts are spread over idle sessions: a call has a fixed cost of about 32
 * positions, whatever the size of its batch. See docs/adr/0016-batches.md.
 */
const minSpreadPositions = 64;

const schedulers = new WeakMap<Encoder, BatchScheduler>();

/**
 * Encodes the texts of all calls of a model. A request with many texts is split into batches of its own. Small requests
 * share batches: those that arrive in the same turn of the event loop, and those that arrive while other batches are
 * computed. The queue is served round robin, one batch per entry, so that no request waits until another has finished.
 */
export class BatchScheduler {
  readonly #encoder: Encoder;
  /** The queue: the first entry provides the next batch and then moves to the end. */
  readonly #waiting: Waiting[] = [];
  #inFlight = 0;
  #sharedInFlight = 0;
  #isDispatchScheduled = false;

  /** @throws SentvecError `invalid-argument` for an encoder whose `concurrency` is below 1 */
  constructor(encoder: Encoder) {
    if (!(encoder.concurrency >= 1))
      throw new SentvecError(
        'invalid-argument',
        `The "concurrency" of the encoder is ${String(encoder.concurrency)}; it must be at least 1.`,
      );
    this.#encoder = encoder;
  }

  /** The one scheduler of an encoder: everything that uses the encoder shares it. */
  static of(encoder: Encoder): BatchScheduler {
    const known = schedulers.get(encoder);
    if (known !== undefined) return known;
    const scheduler = new BatchScheduler(encoder);
    schedulers.set(encoder, scheduler);
    return scheduler;
  }

  /**
   * Encodes the texts of a request.
   * @throws SentvecError `aborted` when the signal fires; what `deliver` throws; `describeFailure` of what the encoder
   * throws
   */
  async encode(request: BatchRequest): Promise<void> {
    throwIfAborted(request.signal);
    if (request.texts.length === 0) return;
    const pending = new PendingRequest(request);
    const stopListening = onAbort(request.signal, () => this.#end(pending, abortError(request.signal)));
    this.#enqueue(pending);
    this.#scheduleDispatch();
    await pending.finished.finally(stopListening);
  }

  /** Queues the full batches of a request as they are; texts that do not fill a batch join those of other requests. */
  #enqueue(pending: PendingRequest): void {
    const { texts, settings, shared } = pending.request;
    const lengths = texts.map((text) => this.#lengthOf(text, shared));
    const batches = planBatches(lengths, settings.batchTokens, shared ? undefined : 0);
    const isSmall = batches.length <= this.#encoder.concurrency;
    const isOpen = (batch: readonly number[]): boolean =>
      shared && (isSmall || batch.length * lengths[batch[0]!]! <= settings.batchTokens / 2);
    const own = batches.filter((batch) => !isOpen(batch));
    if (own.length > 0) this.#waiting.push(new OwnBatches(pending, own));
    const open = batches.filter(isOpen).flat();
    if (open.length > 0) this.#textsWith(settings).add(open.map((index) => ({ request: pending, index })));
  }

  /** Length of a text in tokens; when batches are not shared, rounded up to the length that it is always padded to. */
  #lengthOf({ ids }: TokenizedText, shared: boolean): number {
    return shared ? ids.length : paddedLength(ids.length, this.#encoder.maxPositions);
  }

  #columnsOf({ texts: [longest] }: Batch): number {
    const { request, index } = longest!;
    return this.#lengthOf(request.textAt(index), request.request.shared);
  }

  #textsWith(settings: BatchSettings): SharedTexts {
    const found = this.#waiting.find((each) => each instanceof SharedTexts && each.isFor(settings));
    if (found !== undefined) return found as SharedTexts;
    const texts = new SharedTexts(settings);
    this.#waiting.push(texts);
    return texts;
  }

  /** Dispatches in the next task, so that texts that arrive in the same turn of the event loop are batched together. */
  #scheduleDispatch(): void {
    if (this.#isDispatchScheduled) return;
    this.#isDispatchScheduled = true;
    void this.#dispatchInNextTask();
  }

  async #dispatchInNextTask(): Promise<void> {
    await nextTask();
    this.#isDispatchScheduled = false;
    this.#dispatch();
  }

  /** Keeps one more batch in line for each that is computed: see docs/adr/0018-session-pool.md. */
  #dispatch(): void {
    const { concurrency } = this.#encoder;
    let untried = this.#waiting.length;
    while (this.#inFlight < 2 * concurrency && untried > 0) {
      const waiting = this.#waiting.shift()!;
      const load = { concurrency, inFlight: this.#inFlight, sharedInFlight: this.#sharedInFlight };
      const batch = waiting.next(load);
      if (!waiting.isEmpty) this.#waiting.push(waiting);
      if (batch !== undefined) void this.#compute(batch);
      untried = batch === undefined ? untried - 1 : this.#waiting.length;
    }
  }

  async #compute(batch: Batch): Promise<void> {
    this.#inFlight += 1;
    if (batch.shared) this.#sharedInFlight += 1;
    const parts = partsOf(batch);
    const lifetime = signalOf(parts);
    let settle = (): void => {};
    try {
      const vectors = await this.#vectorsOf(batch, lifetime.signal);
      settle = () => this.#deliver(parts, vectors, batch);
    } catch (error) {
      settle = () => this.#fail(parts, error);
    } finally {
      lifetime.release();
    }
    // A caller that gets its vectors and calls again at once does so within this turn of the event loop.
    await yieldToEventLoop();
    this.#inFlight -= 1;
    if (batch.shared) this.#sharedInFlight -= 1;
    settle();
    this.#scheduleDispatch();
  }

  async #vectorsOf(batch: Batch, signal: AbortSignal): Promise<Matrix> {
    const { texts, settings } = batch;
    const { dimension, ...others } = settings;
    const tokenized = texts.map(({ request, index }) => request.textAt(index));
    const matrix = await encodeBatch(this.#encoder, {
      ...others,
      texts: tokenized,
      columns: this.#columnsOf(batch),
      signal,
    });
    const expected = tokenized.reduce((sum, text) => sum + countVectors(text, settings.head.pooling), 0);
    if (matrix.rows === expected && matrix.cols === dimension) return matrix;
    throw new SentvecError(
      'backend-failed',
      `The backend gave ${matrix.rows} × ${matrix.cols} numbers for ${expected} vectors of ${dimension}.`,
    );
  }

  #deliver(parts: readonly PendingPart[], matrix: Matrix, batch: Batch): void {
    const vectors = splitByTexts(matrix, batch);
    const columns = this.#columnsOf(batch);
    for (const { request, indices, rows } of parts) {
      if (request.isEnded) continue;
      try {
        request.deliver({ indices, vectors: rows.map((row) => vectors[row]!), positions: rows.length * columns });
      } catch (error) {
        this.#end(request, error);
      }
    }
  }

  /**
   * One bad text must not fail the other calls in its batch, so the texts of each call are tried again in a batch of
   * their own.
   */
  #fail(parts: readonly PendingPart[], error: unknown): void {
    for (const { request, indices } of parts) {
      if (request.isEnded) continue;
      if (parts.length === 1) this.#end(request, request.request.describeFailure(error, indices));
      else this.#waiting.unshift(new OwnBatches(request, [indices]));
    }
  }

  #end(request: PendingRequest, error: unknown): void {
    for (const waiting of this.#waiting) waiting.remove(request);
    request.end(error);
    this.#scheduleDispatch();
  }
}

/** A request that is not finished. */
class PendingRequest {
  readonly request: BatchRequest;
  readonly finished: Promise<void>;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  readonly #listeners = new Set<() => void>();
  #missing: number;
  isEnded = false;

  constructor(request: BatchRequest) {
    this.request = request;
    this.#missing = request.texts.length;
    let settle: [() => void, (error: unknown) => void] | undefined;
    this.finished = new Promise((resolve, reject) => {
      settle = [resolve, reject];
    });
    [this.#resolve, this.#reject] = settle!;
  }

  textAt(index: number): TokenizedText {
    return this.request.texts[index]!;
  }

  deliver(part: BatchPart): void {
    this.request.deliver(part);
    this.#missing -= part.indices.length;
    if (this.#missing > 0) return;
    this.isEnded = true;
    this.#resolve();
  }

  /** Fails the request, unless it has already ended. */
  end(error: unknown): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.#reject(error);
    for (const listener of this.#listeners) listener();
  }

  /** @returns a function that stops listening */
  onEnd(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Queue entry: the batches of one large request. */
class OwnBatches implements Waiting {
  readonly #request: PendingRequest;
  readonly #batches: readonly (readonly number[])[];
  #next = 0;

  constructor(request: PendingRequest, batches: readonly (readonly number[])[]) {
    this.#request = request;
    this.#batches = batches;
  }

  get isEmpty(): boolean {
    return this.#next >= this.#batches.length;
  }

  next(): Batch | undefined {
    if (this.isEmpty) return undefined;
    const indices = this.#batches[this.#next]!;
    this.#next += 1;
    const texts = indices.map((index) => ({ request: this.#request, index }));
    return { texts, settings: this.#request.request.settings, shared: false };
  }

  remove(request: PendingRequest): void {
    if (request === this.#request) this.#next = this.#batches.length;
  }
}

/** Queue entry: texts of small requests that have equal settings, the oldest first. */
class SharedTexts implements Waiting {
  readonly #settings: BatchSettings;
  #texts: WaitingText[] = [];
  #positions = 0;

  constructor(settings: BatchSettings) {
    this.#settings = settings;
  }

  get isEmpty(): boolean {
    return this.#texts.length === 0;
  }

  isFor(settings: BatchSettings): boolean {
    const names = Object.keys(settings) as (keyof BatchSettings)[];
    return names.every((name) => settings[name] === this.#settings[name]);
  }

  add(texts: readonly WaitingText[]): void {
    for (const text of texts) this.#texts.push(text);
    this.#positions += positionsOf(texts);
  }

  /**
   * The batch that contains the oldest waiting text. While no session is idle and one more batch is in line, the texts
   * wait for others to join them, unless they already fill a batch.
   */
  next({ concurrency, inFlight, sharedInFlight }: Load): Batch | undefined {
    const { batchTokens } = this.#settings;
    if (this.isEmpty || (sharedInFlight > concurrency && this.#positions < batchTokens)) return undefined;
    const idle = Math.max(1, concurrency - inFlight);
    const spread = Math.max(minSpreadPositions, Math.ceil(this.#positions / idle));
    const compared = this.#texts.slice(0, maxTextsToSort);
    const lengths = compared.map(({ request, index }) => request.textAt(index).ids.length);
    const batches = planBatches(lengths, Math.min(spread, batchTokens));
    const texts = batches.find((batch) => batch.includes(0))!.map((index) => compared[index]!);
    const taken = new Set(texts);
    this.#texts = this.#texts.filter((text) => !taken.has(text));
    this.#positions -= positionsOf(texts);
    return { texts, settings: this.#settings, shared: true };
  }

  remove(request: PendingRequest): void {
    this.#texts = this.#texts.filter((text) => text.request !== request);
    this.#positions = positionsOf(this.#texts);
  }
}

function positionsOf(texts: readonly WaitingText[]): number {
  return texts.reduce((sum, { request, index }) => sum + request.textAt(index).ids.length, 0);
}

/** The texts of one request in a batch. */
interface PendingPart {
  readonly request: PendingRequest;
  readonly indices: number[];
  /** Their rows in the batch. */
  readonly rows: number[];
}

function partsOf({ texts }: Batch): readonly PendingPart[] {
  const parts = new Map<PendingRequest, PendingPart>();
  for (const [row, { request, index }] of texts.entries()) {
    const part = parts.get(request) ?? { request, indices: [], rows: [] };
    parts.set(request, part);
    part.indices.push(index);
    part.rows.push(row);
  }
  return [...parts.values()];
}

/** The vectors of each text of a batch. */
function splitByTexts({ data, cols }: Matrix, { texts, settings }: Batch): readonly Float32Array[] {
  let taken = 0;
  return texts.map(({ request, index }) => {
    const begin = taken;
    taken += countVectors(request.textAt(index), settings.head.pooling) * cols;
    return data.subarray(begin, taken);
  });
}

/** The signal of a batch: it is aborted when all requests with texts in the batch have ended. */
function signalOf(parts: readonly PendingPart[]): { readonly signal: AbortSignal; readonly release: () => void } {
  const [first] = parts;
  if (parts.length === 1) return { signal: first!.request.request.signal, release: () => {} };
  const controller = new AbortController();
  const onEnd = (): void => {
    if (parts.every(({ request }) => request.isEnded)) controller.abort();
  };
  const stops = parts.map(({ request }) => request.onEnd(onEnd));
  return {
    signal: controller.signal,
    release: () => {
      for (const stop of stops) stop();
    },
  };
}
