/**
 * The sparse embedder. Its encoder is an embedder whose vectors have a weight for each term of the vocabulary. It
 * embeds only a few texts at a time, because these dense vectors are large; only the weights that are not zero are
 * kept.
 */
import {
  checkCount,
  abortable,
  canonicalJson,
  checkOptionNames,
  sha256,
  throwIfAborted,
  type AbortScope,
  type OptionNames,
} from '@sentvec/platform';
import { Calls } from '../embedder/calls.ts';
import type { Embedder, Fingerprint, Receipt, TextStream } from '../embedder/embedder-types.ts';
import { once } from '../embedder/fingerprint.ts';
import { promptNameFor } from '../embedder/text-role.ts';
import { checkedTexts, StreamWindows, windowsOf, type TextWindow, type WindowSource } from '../embedder/windows.ts';
import { withRows } from '../error-rows.ts';
import { rowOf } from '../search/matrix-rows.ts';
import { checkChoice, checkTopK } from '../search/vector-checks.ts';
import type { ModelFiles, SelfCheckResult, SimilarityFunction } from '../types.ts';
import { checkSparseVector, entriesByValue, largestEntries, sparseVector, type SparseVector } from './sparse-vector.ts';
import type {
  EmbeddedSparse,
  EmbeddedSparseText,
  EmbedSparseOptions,
  EmbedSparseStreamOptions,
  SparseEmbedder,
  SparseRole,
  StreamedSparseVector,
  TermWeight,
} from './sparse-types.ts';
import type { StaticQueries } from './static-queries.ts';

/** Computes the vectors for a role: an embedder whose vectors are term weights, or a table. */
export type SparseRunner = Embedder | StaticQueries;

/** The parts of a sparse embedder. */
export interface SparseParts {
  readonly model: ModelFiles;
  readonly runners: Readonly<Record<SparseRole, SparseRunner>>;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  readonly maxActiveDims: number | undefined;
  /** The tokenizer's string for each term. */
  readonly terms: () => Promise<readonly (string | undefined)[]>;
  readonly notes: readonly string[];
  readonly onReceipt: ((receipt: Receipt) => void) | undefined;
}

/** Maximum number of dense term weights in memory at a time: 8 MB. */
const weightsOfBatch = 2 ** 21;

const optionNames: OptionNames<EmbedSparseOptions> = {
  maxActiveDims: true,
  batchTokens: true,
  shareBatches: true,
  signal: true,
  onProgress: true,
};
const streamOptionNames: OptionNames<EmbedSparseStreamOptions> = { ...optionNames, as: true, maxWait: true };

/** A window of texts with their vectors, and the numbers for the receipt. */
interface SparseWindow extends TextWindow, WindowCost {
  readonly vectors: readonly SparseVector[];
}

interface WindowCost {
  readonly tokens: number;
  /** Positions that were computed, padding included. */
  readonly positions: number;
  /** Row numbers count from the first text of the call. */
  readonly truncated: Receipt['truncated'];
  readonly notes: readonly string[];
}

/** A sparse embedder. It owns its parts: its `dispose` disposes them. */
export class TermEmbedder implements SparseEmbedder {
  readonly kind = 'sparse';
  readonly model: ModelFiles;
  readonly dimension: number;
  readonly maxLength: Readonly<Record<SparseRole, number>>;
  readonly batchTokens: number;
  readonly backend: string | undefined;
  readonly hasStaticQueries: boolean;
  readonly prompts: Readonly<Record<string, string>>;
  readonly similarityFunction: SimilarityFunction;
  readonly selfCheck: SelfCheckResult | undefined;
  readonly #parts: SparseParts;
  readonly #calls = new Calls('embedder');
  readonly #terms: SparseParts['terms'];
  readonly #fingerprint: () => Promise<Fingerprint> = once(async () => this.#computeFingerprint());

  constructor(parts: SparseParts) {
    const { query, document } = parts.runners;
    this.model = parts.model;
    this.dimension = document.dimension;
    this.maxLength = { query: query.maxLength, document: document.maxLength };
    this.batchTokens = isTable(document) ? 4096 : document.encoder.batchTokens;
    this.backend = isTable(document) ? undefined : document.backend;
    this.hasStaticQueries = isTable(query);
    this.prompts = parts.prompts;
    this.similarityFunction = parts.similarityFunction;
    this.selfCheck = isTable(document) ? undefined : document.selfCheck;
    this.#parts = parts;
    this.#terms = once(parts.terms);
  }

  embedQuery(text: string, options?: EmbedSparseOptions): Promise<EmbeddedSparseText>;
  embedQuery(texts: readonly string[], options?: EmbedSparseOptions): Promise<EmbeddedSparse>;
  async embedQuery(
    texts: string | readonly string[],
    options: EmbedSparseOptions = {},
  ): Promise<EmbeddedSparse | EmbeddedSparseText> {
    checkOptionNames('embedQuery()', options, optionNames);
    return this.#embed('query', texts, options);
  }

  embedDocuments(text: string, options?: EmbedSparseOptions): Promise<EmbeddedSparseText>;
  embedDocuments(texts: readonly string[], options?: EmbedSparseOptions): Promise<EmbeddedSparse>;
  async embedDocuments(
    texts: string | readonly string[],
    options: EmbedSparseOptions = {},
  ): Promise<EmbeddedSparse | EmbeddedSparseText> {
    checkOptionNames('embedDocuments()', options, optionNames);
    return this.#embed('document', texts, options);
  }

  async *embedStream(
    texts: TextStream,
    options: EmbedSparseStreamOptions = {},
  ): AsyncGenerator<StreamedSparseVector, void, undefined> {
    checkOptionNames('embedStream()', options, streamOptionNames);
    const { as: role = 'document', maxWait } = options;
    checkChoice(role, ['query', 'document'], 'as');
    const source = new StreamWindows(texts, maxWait);
    try {
      for await (const { firstRow, texts: windowTexts, vectors } of this.#windows(role, source, options))
        for (const [index, text] of windowTexts.entries())
          yield { row: firstRow + index, text, vector: vectors[index]! };
    } finally {
      await source.close();
    }
  }

  async decode(vector: SparseVector, topK: number = Infinity): Promise<TermWeight[]> {
    this.#calls.checkAlive();
    checkSparseVector(vector, 'The vector');
    checkTopK(topK);
    const terms = await this.#terms();
    return entriesByValue(vector)
      .slice(0, topK)
      .map((i) => ({ term: terms[vector.indices[i]!] ?? null, weight: vector.values[i]! }));
  }

  async fingerprint(): Promise<Fingerprint> {
    this.#calls.checkAlive();
    return this.#fingerprint();
  }

  dispose(): Promise<void> {
    const runners = new Set([this.#parts.runners.query, this.#parts.runners.document]);
    return this.#calls.dispose([...runners].map((runner) => (isTable(runner) ? runner.tokenizer : runner)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #embed(
    role: SparseRole,
    texts: string | readonly string[],
    options: EmbedSparseOptions,
  ): Promise<EmbeddedSparse | EmbeddedSparseText> {
    const started = performance.now();
    const call = role === 'query' ? 'embedQuery()' : 'embedDocuments()';
    const checked = await checkedTexts(typeof texts === 'string' ? [texts] : texts, call);
    const vectors: SparseVector[] = [];
    const costs: WindowCost[] = [];
    for await (const window of this.#windows(role, windowsOf(checked), options)) {
      for (const vector of window.vectors) vectors.push(vector);
      costs.push(window);
    }
    const tokens = costs.reduce((sum, cost) => sum + cost.tokens, 0);
    const positions = costs.reduce((sum, cost) => sum + cost.positions, 0);
    const receipt: Receipt = {
      rows: checked.length,
      tokens,
      truncated: costs.flatMap((cost) => cost.truncated),
      paddingWaste: positions === 0 ? 0 : 1 - tokens / positions,
      milliseconds: performance.now() - started,
      fingerprint: (await this.fingerprint()).hash,
      prompt: this.#promptOf(role),
      notes: [...new Set([...this.#parts.notes, ...costs.flatMap(({ notes }) => notes)])],
    };
    this.#parts.onReceipt?.(receipt);
    return typeof texts === 'string' ? { vector: vectors[0]!, receipt } : { vectors, receipt };
  }

  async *#windows(
    role: SparseRole,
    source: WindowSource,
    options: EmbedSparseOptions,
  ): AsyncGenerator<SparseWindow, void, undefined> {
    this.#calls.checkAlive();
    const { maxActiveDims = this.#parts.maxActiveDims } = options;
    if (maxActiveDims !== undefined) checkCount(maxActiveDims, 'maxActiveDims');
    const cut = (vector: SparseVector): SparseVector =>
      maxActiveDims === undefined ? vector : largestEntries(vector, maxActiveDims);
    const scope = this.#calls.begin(options.signal);
    let done = { rows: 0, tokens: 0 };
    const progress = (rows: number, tokens: number): void => {
      done = { rows: done.rows + rows, tokens: done.tokens + tokens };
      if (!scope.signal.aborted) options.onProgress?.(done);
    };
    try {
      const read = (): Promise<TextWindow | undefined> => abortable(source.read(), scope.signal);
      for (let window = await read(); window !== undefined; window = await read())
        yield await this.#embedWindow(role, window, { scope, cut, progress, options });
    } finally {
      this.#calls.end(scope);
    }
  }

  async #embedWindow(role: SparseRole, window: TextWindow, work: WindowWork): Promise<SparseWindow> {
    throwIfAborted(work.scope.signal);
    const runner = this.#parts.runners[role];
    const promptText = this.#promptOf(role);
    if (!isTable(runner)) return embedByEncoder(runner, promptText, window, work);
    const texts = promptText === undefined ? window.texts : window.texts.map((text) => promptText + text);
    const { vectors, tokenized } = await runner.embed(texts, work.scope.signal).catch((error: unknown) => {
      throw withRows(error, (row) => window.firstRow + row);
    });
    const tokens = tokenized.reduce((sum, { ids }) => sum + ids.length, 0);
    work.progress(window.texts.length, tokens);
    const truncated = tokenized.flatMap((text, index) =>
      text.truncated ? [{ row: window.firstRow + index, length: text.length }] : [],
    );
    return { ...window, vectors: vectors.map(work.cut), tokens, positions: tokens, truncated, notes: [] };
  }

  /** The prompt of a role, as `encode_query` and `encode_document` of sentence-transformers choose it. */
  #promptOf(role: SparseRole): string | undefined {
    const { prompts, defaultPrompt } = this.#parts;
    const name = promptNameFor(role, prompts, defaultPrompt);
    return name === undefined || prompts[name] === '' ? undefined : prompts[name];
  }

  async #computeFingerprint(): Promise<Fingerprint> {
    const { query, document } = this.#parts.runners;
    const prompts = { promptText: canonicalJson([this.#promptOf('query') ?? '', this.#promptOf('document') ?? '']) };
    const partsOf = async (runner: SparseRunner): Promise<Partial<Fingerprint['parts']>> =>
      isTable(runner) ? runner.hashes : (await runner.fingerprint(prompts)).parts;
    const [first, second] = await Promise.all([partsOf(document), query === document ? undefined : partsOf(query)]);
    const merge = async (part: keyof Fingerprint['parts']): Promise<string> =>
      second === undefined ? first[part]! : sha256(canonicalJson([first[part] ?? null, second[part] ?? null]));
    const parts = {
      weights: await merge('weights'),
      tokenizer: await merge('tokenizer'),
      pooling: await merge('pooling'),
      projections: await merge('projections'),
      prompt: await merge('prompt'),
      dimension: await merge('dimension'),
    };
    return { hash: await sha256(canonicalJson(parts)), parts };
  }
}

/** State shared by all windows of a call. */
interface WindowWork {
  readonly scope: AbortScope;
  readonly cut: (vector: SparseVector) => SparseVector;
  readonly progress: (rows: number, tokens: number) => void;
  readonly options: EmbedSparseOptions;
}

/**
 * Embeds the texts of a window in groups of similar length, with one more group in flight than the encoder computes at
 * once.
 */
async function embedByEncoder(
  embedder: Embedder,
  promptText: string | undefined,
  { firstRow, texts }: TextWindow,
  { scope, cut, progress, options: { batchTokens, shareBatches } }: WindowWork,
): Promise<SparseWindow> {
  const order = texts.map((_, index) => index).sort((a, b) => texts[b]!.length - texts[a]!.length || a - b);
  const size = Math.max(1, Math.floor(weightsOfBatch / embedder.dimension));
  const vectors: SparseVector[] = [];
  const costs: WindowCost[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < order.length && !scope.signal.aborted) {
      const rows = order.slice(next, next + size);
      next += rows.length;
      const options = { ...(promptText === undefined ? { prompt: null } : { promptText }), batchTokens, shareBatches };
      const embedded = await embedder
        .embed(
          rows.map((row) => texts[row]!),
          { ...options, signal: scope.signal },
        )
        .catch((error: unknown) => {
          throw withRows(error, (row) => firstRow + rows[row]!);
        });
      for (const [index, row] of rows.entries()) vectors[row] = cut(sparseVector(rowOf(embedded.vectors, index)));
      const { tokens, paddingWaste, truncated, notes } = embedded.receipt;
      const moved = truncated.map(({ row, length }) => ({ row: firstRow + rows[row]!, length }));
      costs.push({ tokens, positions: tokens / (1 - paddingWaste), truncated: moved, notes });
      progress(rows.length, tokens);
    }
  };
  const workers = Array.from({ length: embedder.encoder.concurrency + 1 }, work);
  await Promise.all(workers).catch((error: unknown) => {
    scope.abort(error); // Cancels the other groups.
    throw error;
  });
  throwIfAborted(scope.signal);
  return {
    firstRow,
    texts,
    vectors,
    tokens: costs.reduce((sum, cost) => sum + cost.tokens, 0),
    positions: costs.reduce((sum, cost) => sum + cost.positions, 0),
    truncated: costs.flatMap((cost) => cost.truncated).sort((a, b) => a.row - b.row),
    notes: costs[0]?.notes ?? [],
  };
}

function isTable(runner: SparseRunner): runner is StaticQueries {
  return 'hashes' in runner;
}
