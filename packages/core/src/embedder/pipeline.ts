// The pipeline of all embed calls: it tokenizes, encodes and pools one window of texts after the other.
import { abortable, yieldToEventLoop, type AbortScope } from '@sentvec/platform';
import type { BatchPart, BatchRequest, BatchScheduler } from './batch-scheduler.ts';
import { countUnpooledTokens, countVectors } from './batching.ts';
import { withRows } from '../error-rows.ts';
import { SentvecError } from '../errors.ts';
import type { EmbedderParts, EmbedOptions } from './embedder-types.ts';
import type { Matrix, TokenizedText } from '../types.ts';
import { isFinite } from './encode-batch.ts';
import type { EmbedSettings } from './settings.ts';
import type { TextWindow, WindowSource } from './windows.ts';

/** A window of texts with the vector of each text or, if the head does not pool, the vectors of its tokens. */
export interface EmbeddedWindow extends TextWindow {
  readonly tokenized: readonly TokenizedText[];
  readonly vectors: Matrix;
  /** Positions that the encoder computed, padding included. */
  readonly positions: number;
}

/** Where the pipeline writes its vectors and reports progress. */
export interface PipelineOutput {
  /**
   * Returns an array for the vectors of a window, rows × dimension: a row for each text or, if the head does not pool,
   * for each pooled token. The vectors are written batch by batch, because touching all of the memory at once would
   * block the thread.
   */
  readonly allocate: (firstRow: number, rows: number) => Float32Array;
  readonly onProgress: EmbedOptions['onProgress'];
}

/** The parts of a model that the pipeline uses. */
export interface PipelineParts extends Pick<EmbedderParts, 'tokenizer' | 'encoder' | 'maxLength' | 'addSpecialTokens'> {
  /**
   * Tokenizes a window whose inputs are not a prompt and a text, such as pairs of texts.
   * @default `tokenizer`
   */
  readonly tokenize?: ((window: TextWindow) => Promise<TokenizedText[]>) | undefined;
}

/** A window whose batches are being computed. */
interface LaunchedWindow {
  readonly finished: Promise<EmbeddedWindow>;
}

/**
 * Turns texts into vectors, window by window, in order. While one window is computed, the next one is read and
 * tokenized, so that the encoder does not wait. Only one window is read ahead of the consumer.
 */
export class Pipeline {
  readonly #parts: PipelineParts;
  readonly #settings: EmbedSettings;
  readonly #scope: AbortScope;
  readonly #scheduler: BatchScheduler;
  readonly #output: PipelineOutput;
  readonly #done = { rows: 0, tokens: 0 };

  constructor(
    parts: PipelineParts,
    settings: EmbedSettings,
    scope: AbortScope,
    scheduler: BatchScheduler,
    output: PipelineOutput,
  ) {
    this.#parts = parts;
    this.#settings = settings;
    this.#scope = scope;
    this.#scheduler = scheduler;
    this.#output = output;
  }

  async *windows(source: WindowSource): AsyncGenerator<EmbeddedWindow, void, undefined> {
    const { prompt, head } = this.#settings;
    const counted = countUnpooledTokens(prompt, head.pooling, this.#parts.tokenizer, this.#tokenizeOptions());
    const unpooledTokens = await abortable(counted, this.#scope.signal);
    let launched = await this.#launchNext(source, unpooledTokens);
    while (launched) {
      const following = this.#launchNext(source, unpooledTokens);
      following.catch(() => {});
      yield await launched.finished;
      launched = await following;
    }
  }

  async #launchNext(source: WindowSource, unpooledTokens: number): Promise<LaunchedWindow | undefined> {
    const window = await abortable(source.read(), this.#scope.signal);
    if (window === undefined) return undefined;
    const tokenized = await abortable(this.#tokenize(window), this.#scope.signal);
    await yieldToEventLoop();
    const finished = this.#embed(window, tokenized, unpooledTokens);
    finished.catch(() => {});
    return { finished };
  }

  async #tokenize(window: TextWindow): Promise<TokenizedText[]> {
    const { tokenizer, tokenize } = this.#parts;
    const prompt = this.#settings.prompt ?? '';
    const texts = prompt === '' ? window.texts : window.texts.map((text) => prompt + text);
    const encoded = tokenize === undefined ? tokenizer.encode(texts, this.#tokenizeOptions()) : tokenize(window);
    const tokenized = await encoded.catch((error: unknown) => {
      throw withRows(error, (row) => window.firstRow + row);
    });
    const empty = tokenized.flatMap((text, index) => (text.ids.length === 0 ? [window.firstRow + index] : []));
    if (empty.length === 0) return tokenized;
    throw new SentvecError(
      'invalid-text',
      `Row ${empty[0]} is empty for the model: the tokenizer gives no token for it. Remove empty texts from the input.`,
      { row: empty[0], rows: empty },
    );
  }

  async #embed(
    window: TextWindow,
    tokenized: readonly TokenizedText[],
    unpooledTokens: number,
  ): Promise<EmbeddedWindow> {
    const { dimension, batchTokens, head, shareBatches } = this.#settings;
    const firstRows = new Float64Array(tokenized.length + 1);
    for (const [index, text] of tokenized.entries())
      firstRows[index + 1] = firstRows[index]! + countVectors(text, head.pooling);
    const rows = firstRows.at(-1)!;
    const vectors = this.#output.allocate(window.firstRow, rows);
    let computedPositions = 0;
    const request: BatchRequest = {
      texts: tokenized,
      settings: { head, dimension, batchTokens, unpooledTokens, paddingId: this.#parts.tokenizer.paddingId },
      shared: shareBatches,
      signal: this.#scope.signal,
      deliver: (part) => {
        computedPositions += part.positions;
        this.#deliver(part, { ...window, tokenized }, { vectors, firstRows });
      },
      describeFailure: (error, indices) => describeFailure(error, window, indices),
    };
    await this.#scheduler.encode(request).catch((error: unknown) => {
      this.#scope.abort(error); // Cancels the other batches of this call.
      throw error;
    });
    return {
      ...window,
      tokenized,
      vectors: { data: vectors, rows, cols: dimension },
      positions: computedPositions,
    };
  }

  #deliver(
    part: BatchPart,
    window: Pick<EmbeddedWindow, 'firstRow' | 'tokenized'>,
    { vectors, firstRows }: { readonly vectors: Float32Array; readonly firstRows: Float64Array },
  ): void {
    const { dimension } = this.#settings;
    for (const [position, index] of part.indices.entries()) {
      const vector = part.vectors[position]!;
      if (!isFinite(vector)) {
        const row = window.firstRow + index;
        throw new SentvecError(
          'backend-failed',
          `The vector of row ${row} has entries that are not finite numbers: the model does not work on this text.`,
          { row },
        );
      }
      vectors.set(vector, firstRows[index]! * dimension);
      this.#done.rows += 1;
      this.#done.tokens += window.tokenized[index]!.ids.length;
    }
    if (!this.#scope.signal.aborted) this.#output.onProgress?.({ ...this.#done });
  }

  #tokenizeOptions(): { maxLength: number; addSpecialTokens: boolean; signal: AbortSignal } {
    const { maxLength, addSpecialTokens = true } = this.#parts;
    return { maxLength, addSpecialTokens, signal: this.#scope.signal };
  }
}

/** Third-party encoders and poolings may throw anything; the caller of `embed` always gets a SentvecError. */
function describeFailure(error: unknown, window: TextWindow, indices: readonly number[]): unknown {
  if (SentvecError.is(error)) return error;
  const row = window.firstRow + Math.min(...indices);
  const message = error instanceof Error ? error.message : String(error);
  return new SentvecError('backend-failed', `The batch with row ${row} failed: ${message}`, { row }, { cause: error });
}
