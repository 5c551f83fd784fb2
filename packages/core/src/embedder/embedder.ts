/** The embedder: runs texts through the four parts of a model, and keeps track of its running calls. */
import type { AbortScope, OptionNames } from '@sentvec/platform';
import { BatchScheduler } from './batch-scheduler.ts';
import { Calls } from './calls.ts';
import { createFingerprinter, type Fingerprinter } from './fingerprint.ts';
import { Pipeline } from './pipeline.ts';
import { ReceiptCounter } from './receipt.ts';
import { embedOptionNames, resolveSettings, streamOptionNames, type EmbedSettings } from './settings.ts';
import { checkedTexts, StreamWindows, windowsOf } from './windows.ts';
import { SentvecError } from '../errors.ts';
import { outputSize } from '../projection/head.ts';
import { rowOf } from '../search/matrix-rows.ts';
import type { Encoder } from '../backend.ts';
import type {
  Embedded,
  EmbeddedPieces,
  EmbeddedText,
  Embedder,
  EmbedderParts,
  EmbedOptions,
  EmbedPiecesOptions,
  EmbedStreamOptions,
  Fingerprint,
  Receipt,
  RoleEmbedOptions,
  SpaceOptions,
  StreamedVector,
  TextStream,
} from './embedder-types.ts';
import type { HeadSource } from '../model-folder/model-folder.ts';
import type { SelfCheckResult, Head, ModelFiles, SimilarityFunction, Tokenizer } from '../types.ts';

/**
 * Creates an embedder from the four parts of a model. {@link loadEmbedder} does this for a model folder; call this
 * function for parts of your own. The embedder owns its parts: its `dispose` disposes them.
 * @throws SentvecError `invalid-argument` when `maxLength` is not a whole number from 1 to the encoder's
 * `maxPositions`, and for a head that gives a vector for each token
 */
export function createEmbedder(parts: EmbedderParts): Embedder {
  if (parts.head.pooling.perToken === true)
    throw new SentvecError(
      'invalid-argument',
      'The head gives a vector for each token. Use createMultiVectorEmbedder() for such a head.',
    );
  return new SentenceEmbedder(parts);
}

class SentenceEmbedder implements Embedder {
  readonly kind = 'embedder';
  readonly model: ModelFiles;
  readonly dimension: number;
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  readonly backend: string | undefined;
  readonly head: Head;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  readonly route: string | undefined;
  readonly task: string | undefined;
  readonly headSource: HeadSource | undefined;
  readonly selfCheck: SelfCheckResult | undefined;
  readonly #parts: EmbedderParts;
  readonly #scheduler: BatchScheduler;
  readonly #fingerprinter: Fingerprinter;
  readonly #calls = new Calls('embedder');

  constructor(parts: EmbedderParts) {
    const { maxLength, encoder } = parts;
    const isLength = Number.isInteger(maxLength) || maxLength === Infinity;
    if (!(isLength && maxLength >= 1 && maxLength <= encoder.maxPositions)) {
      throw new SentvecError(
        'invalid-argument',
        `maxLength is ${maxLength}; it must be a whole number from 1 to ${encoder.maxPositions}, the positions of the encoder of ${parts.model.name}.`,
      );
    }
    this.model = parts.model;
    this.dimension = outputSize(parts.head, parts.encoder.hiddenSize);
    this.maxLength = parts.maxLength;
    this.tokenizer = parts.tokenizer;
    this.encoder = parts.encoder;
    this.backend = parts.backend;
    this.head = parts.head;
    this.prompts = parts.prompts ?? {};
    this.defaultPrompt = parts.defaultPrompt;
    this.similarityFunction = parts.similarityFunction ?? 'cosine';
    this.route = parts.route;
    this.task = parts.task;
    this.headSource = parts.headSource;
    this.selfCheck = parts.selfCheck;
    this.#parts = parts;
    this.#scheduler = BatchScheduler.of(parts.encoder);
    this.#fingerprinter = createFingerprinter(parts);
  }

  embed(text: string, options?: EmbedOptions): Promise<EmbeddedText>;
  embed(texts: string | readonly string[], options?: EmbedOptions): Promise<Embedded>;
  async embed(texts: string | readonly string[], options: EmbedOptions = {}): Promise<Embedded | EmbeddedText> {
    const counter = new ReceiptCounter();
    const { scope, settings } = this.#begin(options, 'embed()');
    try {
      const checked = await checkedTexts(typeof texts === 'string' ? [texts] : texts, 'embed()');
      const fingerprint = this.#fingerprinter(settings);
      fingerprint.catch(() => {});
      const { dimension } = settings;
      const vectors = { data: new Float32Array(checked.length * dimension), rows: checked.length, cols: dimension };
      const allocate = (firstRow: number, rows: number) =>
        vectors.data.subarray(firstRow * dimension, (firstRow + rows) * dimension);
      const output = { allocate, onProgress: options.onProgress };
      const pipeline = new Pipeline(this.#parts, settings, scope, this.#scheduler, output);
      for await (const window of pipeline.windows(windowsOf(checked))) counter.add(window);
      const receipt: Receipt = {
        ...counter.receipt(this.#parts.notes ?? []),
        fingerprint: (await fingerprint).hash,
        prompt: settings.prompt || undefined,
        route: this.route,
        task: this.task,
      };
      this.#parts.onReceipt?.(receipt);
      return typeof texts === 'string' ? { vector: rowOf(vectors, 0), vectors, receipt } : { vectors, receipt };
    } finally {
      this.#calls.end(scope);
    }
  }

  embedQuery(text: string, options?: RoleEmbedOptions): Promise<EmbeddedText>;
  embedQuery(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded>;
  embedQuery(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded> {
    return this.embed(texts, { ...options, as: 'query' });
  }

  embedDocuments(text: string, options?: RoleEmbedOptions): Promise<EmbeddedText>;
  embedDocuments(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded>;
  embedDocuments(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded> {
    return this.embed(texts, { ...options, as: 'document' });
  }

  async embedPieces(texts: readonly string[], options: EmbedPiecesOptions = {}): Promise<EmbeddedPieces> {
    // Copied before the first await: the caller may change the array later.
    const copy = Array.isArray(texts) ? (texts.slice() as readonly string[]) : texts;
    const { embedPieces, withoutPieceOptions } = await import('./embed-pieces.ts');
    const { scope, settings } = this.#begin(withoutPieceOptions(options), 'embedPieces()');
    try {
      const fingerprint = this.#fingerprinter(settings);
      fingerprint.catch(() => {});
      const parts = this.#parts;
      const embed = (pieces: readonly string[], given: EmbedOptions) => this.embed(pieces, given);
      return await embedPieces({ parts, settings, scope, fingerprint, embed }, copy, options);
    } finally {
      this.#calls.end(scope);
    }
  }

  async *embedStream(
    texts: TextStream,
    options: EmbedStreamOptions = {},
  ): AsyncGenerator<StreamedVector, void, undefined> {
    const { scope, settings } = this.#begin(options, 'embedStream()', streamOptionNames);
    let windows: StreamWindows | undefined;
    try {
      windows = new StreamWindows(texts, options.maxWait);
      const allocate = (_firstRow: number, rows: number) => new Float32Array(rows * settings.dimension);
      const output = { allocate, onProgress: options.onProgress };
      const pipeline = new Pipeline(this.#parts, settings, scope, this.#scheduler, output);
      for await (const { firstRow, texts: window, tokenized, vectors } of pipeline.windows(windows)) {
        for (const [index, text] of window.entries()) {
          const { ids, truncated, length } = tokenized[index]!;
          const vector = rowOf(vectors, index).slice();
          yield { row: firstRow + index, text, vector, tokens: ids.length, truncated, ...(truncated && { length }) };
        }
      }
    } finally {
      this.#calls.end(scope);
      await windows?.close();
    }
  }

  async fingerprint(options: SpaceOptions = {}): Promise<Fingerprint> {
    this.#calls.checkAlive();
    return this.#fingerprinter(resolveSettings(this.#parts, options, 'fingerprint()', streamOptionNames));
  }

  dispose(): Promise<void> {
    return this.#calls.dispose([this.tokenizer, this.encoder]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #begin(
    options: EmbedOptions,
    name: string,
    names: OptionNames<EmbedOptions> = embedOptionNames,
  ): { readonly scope: AbortScope; readonly settings: EmbedSettings } {
    this.#calls.checkAlive();
    const settings = resolveSettings(this.#parts, options, name, names);
    return { scope: this.#calls.begin(options.signal), settings };
  }
}
