/** The late-interaction embedder: it gives a vector for each token of a text, and ranks documents with them. */
import { checkOptionNames, shouldYield, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import { BatchScheduler } from '../embedder/batch-scheduler.ts';
import { countPooled } from '../embedder/batching.ts';
import { Calls } from '../embedder/calls.ts';
import { createFingerprinter, type Fingerprinter } from '../embedder/fingerprint.ts';
import { Pipeline } from '../embedder/pipeline.ts';
import { ReceiptCounter } from '../embedder/receipt.ts';
import type { EmbedSettings } from '../embedder/settings.ts';
import { checkedTexts, checkIsArray, checkRankQuery, windowsOf } from '../embedder/windows.ts';
import { SentvecError } from '../errors.ts';
import { outputSize } from '../projection/head.ts';
import type { RankedDocument } from '../search/top-rows.ts';
import { checkTopK } from '../search/vector-checks.ts';
import { tokenPooling } from '../pooling/pooling.ts';
import type { Head, Matrix } from '../types.ts';
import { bestOf, maxSimilarityScores } from './max-similarity.ts';
import type { Fingerprint, TextRole } from '../embedder/embedder-types.ts';
import type {
  EmbedDocumentsOptions,
  EmbeddedTokens,
  EmbeddedTokensOfText,
  EmbedTokensOptions,
  MultiVectorEmbedder,
  MultiVectorParts,
  RankTokensOptions,
  TokenPoolingOptions,
} from './multi-vector-types.ts';
import { joinMatrices, matrixOfText } from './multi-vectors.ts';
import { roleTokenizer } from './role-tokenizer.ts';
import { poolTokens } from './token-pooling.ts';

const embedOptionNames: OptionNames<EmbedTokensOptions> = { batchTokens: true, signal: true, onProgress: true };
const documentOptionNames: OptionNames<EmbedDocumentsOptions> = { ...embedOptionNames, pooling: true };
const rankOptionNames: OptionNames<RankTokensOptions> = { ...documentOptionNames, topK: true };

/**
 * Creates an embedder from the parts of a late-interaction model. {@link loadMultiVectorEmbedder} does this for a model
 * folder; call this function for parts of your own. The embedder owns its parts: its `dispose` disposes them.
 * @throws SentvecError `invalid-argument` for a head that pools
 */
export function createMultiVectorEmbedder(parts: MultiVectorParts): MultiVectorEmbedder {
  const { name, perToken = false } = parts.head.pooling;
  if (!perToken)
    throw new SentvecError(
      'invalid-argument',
      `The head pools ("${name}") to one vector. Use tokenPooling() for a late-interaction model.`,
    );
  return new TokenEmbedder(parts);
}

class TokenEmbedder implements MultiVectorEmbedder {
  readonly kind = 'multi-vector';
  readonly model: MultiVectorEmbedder['model'];
  readonly dimension: number;
  readonly maxLength: MultiVectorEmbedder['maxLength'];
  readonly tokenizer: MultiVectorEmbedder['tokenizer'];
  readonly encoder: MultiVectorEmbedder['encoder'];
  readonly backend: string | undefined;
  readonly head: Head;
  readonly prompts: MultiVectorEmbedder['prompts'];
  readonly similarity: MultiVectorEmbedder['similarity'];
  readonly selfCheck: MultiVectorEmbedder['selfCheck'];
  readonly #parts: MultiVectorParts;
  readonly #ofRole: Readonly<Record<TextRole, MultiVectorParts>>;
  readonly #scheduler: BatchScheduler;
  readonly #fingerprinter: Fingerprinter;
  /** A head whose pooling config contains all other settings that affect the vectors, for the fingerprint. */
  readonly #space: Head;
  readonly #calls = new Calls('embedder');

  constructor(parts: MultiVectorParts) {
    this.model = parts.model;
    this.dimension = outputSize(parts.head, parts.encoder.hiddenSize);
    const { lengths = { query: parts.maxLength, document: parts.maxLength } } = parts;
    this.maxLength = lengths;
    this.tokenizer = parts.tokenizer;
    this.encoder = parts.encoder;
    this.backend = parts.backend;
    this.head = parts.head;
    this.prompts = parts.prompts ?? {};
    this.similarity = parts.similarity ?? 'max';
    this.selfCheck = parts.selfCheck;
    this.#parts = parts;
    const partsOf = (role: TextRole): MultiVectorParts => ({
      ...parts,
      tokenizer: roleTokenizer(parts, role),
      maxLength: lengths[role],
    });
    this.#ofRole = { query: partsOf('query'), document: partsOf('document') };
    this.#scheduler = BatchScheduler.of(parts.encoder);
    this.#fingerprinter = createFingerprinter(parts);
    const { expansion = null, skippedIds, onlyIds = [], tokenPooling: pooling = null } = parts;
    const skipped = [[...(skippedIds?.query ?? [])], [...(skippedIds?.document ?? [])], [...onlyIds]];
    this.#space = {
      pooling: tokenPooling({
        lengths: [String(lengths.query), String(lengths.document)],
        expansion,
        skipped,
        pooling,
      }),
      projections: parts.head.projections,
    };
  }

  embedQuery(text: string, options?: EmbedTokensOptions): Promise<EmbeddedTokensOfText>;
  embedQuery(texts: readonly string[], options?: EmbedTokensOptions): Promise<EmbeddedTokens>;
  async embedQuery(
    texts: string | readonly string[],
    options: EmbedTokensOptions = {},
  ): Promise<EmbeddedTokens | EmbeddedTokensOfText> {
    checkOptionNames('embedQuery()', options, embedOptionNames);
    return this.#embed('query', texts, options);
  }

  embedDocuments(text: string, options?: EmbedDocumentsOptions): Promise<EmbeddedTokensOfText>;
  embedDocuments(texts: readonly string[], options?: EmbedDocumentsOptions): Promise<EmbeddedTokens>;
  async embedDocuments(
    texts: string | readonly string[],
    options: EmbedDocumentsOptions = {},
  ): Promise<EmbeddedTokens | EmbeddedTokensOfText> {
    checkOptionNames('embedDocuments()', options, documentOptionNames);
    return this.#embed('document', texts, options);
  }

  async rank(query: string, documents: readonly string[], options: RankTokensOptions = {}): Promise<RankedDocument[]> {
    checkOptionNames('rank()', options, rankOptionNames);
    checkRankQuery(query);
    checkIsArray('rank()', documents, 'documents');
    const { topK = Infinity, ...others } = options;
    checkTopK(topK);
    const copy = documents.slice();
    const { batchTokens, signal } = others;
    const { matrix } = await this.embedQuery(query, { batchTokens, signal });
    const { vectors } = await this.embedDocuments(copy, others);
    const scores = await maxSimilarityScores(matrix, vectors, { similarity: this.similarity, signal });
    return bestOf(scores, topK).map((hit) => ({ ...hit, document: copy[hit.row]! }));
  }

  async fingerprint(): Promise<Fingerprint> {
    this.#calls.checkAlive();
    const settings = this.#settings('document', {}, canonicalPrompts(this.prompts));
    return this.#fingerprinter({ ...settings, head: this.#space });
  }

  dispose(): Promise<void> {
    return this.#calls.dispose([this.tokenizer, this.encoder]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #embed(
    role: TextRole,
    texts: string | readonly string[],
    options: EmbedDocumentsOptions,
  ): Promise<EmbeddedTokens | EmbeddedTokensOfText> {
    this.#calls.checkAlive();
    const counter = new ReceiptCounter();
    const settings = this.#settings(role, options, this.prompts[role]);
    const scope = this.#calls.begin(options.signal);
    try {
      const checked = await checkedTexts(
        typeof texts === 'string' ? [texts] : texts,
        role === 'query' ? 'embedQuery()' : 'embedDocuments()',
      );
      const matrices: Matrix[] = [];
      const allocate = (_firstRow: number, rows: number) => new Float32Array(rows * settings.dimension);
      const output = { allocate, onProgress: options.onProgress };
      const pipeline = new Pipeline(this.#ofRole[role], settings, scope, this.#scheduler, output);
      for await (const window of pipeline.windows(windowsOf(checked))) {
        counter.add(window);
        let begin = 0;
        for (const text of window.tokenized) {
          const rows = countPooled(text);
          const data = window.vectors.data.subarray(begin * this.dimension, (begin + rows) * this.dimension);
          begin += rows;
          matrices.push(this.#pool({ data, rows, cols: this.dimension }, role, options.pooling));
          if (shouldYield()) await yieldToEventLoop();
        }
      }
      const fingerprint = (await this.fingerprint()).hash;
      const receipt = {
        ...counter.receipt(this.#parts.notes ?? []),
        fingerprint,
        prompt: settings.prompt || undefined,
      };
      this.#parts.onReceipt?.(receipt);
      const vectors = matrices.length === 0 ? { ...joinMatrices([]), cols: this.dimension } : joinMatrices(matrices);
      return typeof texts === 'string' ? { matrix: matrixOfText(vectors, 0), vectors, receipt } : { vectors, receipt };
    } finally {
      this.#calls.end(scope);
    }
  }

  #pool(matrix: Matrix, role: TextRole, requested: TokenPoolingOptions | undefined): Matrix {
    const own = this.#parts.tokenPooling;
    const pooled = own?.roles.includes(role) === true ? poolTokens(matrix, own) : matrix;
    return requested === undefined ? pooled : poolTokens(pooled, requested);
  }

  #settings(
    role: TextRole,
    { batchTokens = this.encoder.batchTokens }: EmbedTokensOptions,
    prompt?: string,
  ): EmbedSettings {
    if (!(batchTokens >= 1))
      throw new SentvecError('invalid-argument', `batchTokens is ${batchTokens}; it must be at least 1.`, { role });
    return { prompt, head: this.head, dimension: this.dimension, batchTokens, shareBatches: true };
  }
}

/** The prompts for the fingerprint. It covers both, since vectors of queries are compared with vectors of documents. */
function canonicalPrompts({ query = '', document = '' }: Readonly<Record<string, string>>): string {
  return JSON.stringify([query, document]);
}
