import type { EmbedderParts } from './parts.ts';
import { Pipeline } from './pipeline.ts';
import { EmbedCall } from './embed-call.ts';
import { outputSize } from './head.ts';
import { resolveSettings, type EmbedSettings } from './settings.ts';
import { Semaphore } from './semaphore.ts';
import { checkTexts, WindowReader } from './windows.ts';
import { SentvecError } from '../errors.ts';
import { createFingerprinter, type Fingerprinter } from './fingerprint.ts';
import type { Embedded, Embedder, EmbedOptions, Fingerprint, Receipt, StreamedVector } from './embedder-types.ts';
import type { Encoder } from '../backend.ts';
import type { SelfCheckResult, Head, ModelFiles, SimilarityFunction, Tokenizer } from '../types.ts';

export type { EmbedderParts } from './parts.ts';

/**
 * Puts the four parts of a model together. {@link loadEmbedder} does this for a model folder; directly it serves for
 * parts of your own. The embedder owns its parts: its `dispose` disposes them.
 * @throws SentvecError `invalid-argument` when `maxLength` is more than the encoder has positions for
 */
export function createEmbedder(parts: EmbedderParts): Embedder {
  return new SentenceEmbedder(parts);
}

class SentenceEmbedder implements Embedder {
  readonly model: ModelFiles;
  readonly dimension: number;
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  readonly head: Head;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  readonly selfCheck: SelfCheckResult | undefined;
  readonly #parts: EmbedderParts;
  readonly #semaphore: Semaphore;
  readonly #fingerprinter: Fingerprinter;
  readonly #calls = new Set<EmbedCall>();
  #disposal: Promise<void> | undefined;

  constructor(parts: EmbedderParts) {
    if (!(parts.maxLength >= 1 && parts.maxLength <= parts.encoder.maxPositions)) {
      throw new SentvecError(
        'invalid-argument',
        `maxLength is ${parts.maxLength}; the encoder of ${parts.model.name} has positions for 1 to ${parts.encoder.maxPositions} tokens.`,
      );
    }
    this.model = parts.model;
    this.dimension = outputSize(parts.head, parts.encoder.hiddenSize);
    this.maxLength = parts.maxLength;
    this.tokenizer = parts.tokenizer;
    this.encoder = parts.encoder;
    this.head = parts.head;
    this.prompts = parts.prompts ?? {};
    this.defaultPrompt = parts.defaultPrompt;
    this.similarityFunction = parts.similarityFunction ?? 'cosine';
    this.selfCheck = parts.selfCheck;
    this.#parts = parts;
    this.#semaphore = new Semaphore(parts.encoder.concurrency + 1);
    this.#fingerprinter = createFingerprinter(parts);
  }

  async embed(texts: readonly string[], options: EmbedOptions = {}): Promise<Embedded> {
    const started = performance.now();
    const { call, settings } = this.#begin(options);
    try {
      await checkTexts(texts);
      const { dimension } = settings;
      const vectors = new Float32Array(texts.length * dimension);
      const truncated: { row: number; length: number }[] = [];
      let tokens = 0;
      let positions = 0;
      const allocate = (firstRow: number, rows: number) =>
        vectors.subarray(firstRow * dimension, (firstRow + rows) * dimension);
      const pipeline = new Pipeline(this.#parts, settings, call, this.#semaphore, {
        allocate,
        onProgress: options.onProgress,
      });
      for await (const window of pipeline.windows(new WindowReader(texts))) {
        positions += window.positions;
        for (const [index, text] of window.tokenized.entries()) {
          tokens += text.ids.length;
          if (text.truncated) truncated.push({ row: window.firstRow + index, length: text.length });
        }
      }
      const { hash } = await this.#fingerprinter(settings);
      const receipt: Receipt = {
        rows: texts.length,
        tokens,
        truncated,
        paddingWaste: positions === 0 ? 0 : 1 - tokens / positions,
        milliseconds: performance.now() - started,
        fingerprint: hash,
        notes: this.#parts.notes ?? [],
      };
      return { vectors: { data: vectors, rows: texts.length, cols: dimension }, receipt };
    } finally {
      this.#end(call);
    }
  }

  async *embedStream(
    texts: AsyncIterable<string> | Iterable<string>,
    options: EmbedOptions = {},
  ): AsyncGenerator<StreamedVector, void, undefined> {
    const { call, settings } = this.#begin(options);
    const reader = new WindowReader(texts);
    try {
      const allocate = (_firstRow: number, rows: number) => new Float32Array(rows * settings.dimension);
      const pipeline = new Pipeline(this.#parts, settings, call, this.#semaphore, {
        allocate,
        onProgress: options.onProgress,
      });
      for await (const { firstRow, texts: window, tokenized, vectors } of pipeline.windows(reader)) {
        for (const [index, text] of window.entries()) {
          const vector = vectors.data.slice(index * vectors.cols, (index + 1) * vectors.cols);
          const { ids, truncated } = tokenized[index]!;
          yield { row: firstRow + index, text, vector, tokens: ids.length, truncated };
        }
      }
    } finally {
      this.#end(call);
      await reader.close();
    }
  }

  async fingerprint(options: Pick<EmbedOptions, 'prompt' | 'promptText' | 'truncateDim'> = {}): Promise<Fingerprint> {
    this.#checkAlive();
    return this.#fingerprinter(resolveSettings(this.#parts, options));
  }

  async dispose(): Promise<void> {
    this.#disposal ??= this.#disposeParts();
    return this.#disposal;
  }

  async #disposeParts(): Promise<void> {
    for (const call of this.#calls) call.fail(disposedError());
    await Promise.all([this.tokenizer.dispose(), this.encoder.dispose()]);
  }

  #begin(options: EmbedOptions): { readonly call: EmbedCall; readonly settings: EmbedSettings } {
    this.#checkAlive();
    const settings = resolveSettings(this.#parts, options);
    const call = new EmbedCall(options.signal);
    this.#calls.add(call);
    return { call, settings };
  }

  #end(call: EmbedCall): void {
    this.#calls.delete(call);
    call.close();
  }

  #checkAlive(): void {
    if (this.#disposal) throw disposedError();
  }
}

function disposedError(): SentvecError {
  return new SentvecError('disposed', 'This embedder was disposed. Load the model again to go on.');
}
