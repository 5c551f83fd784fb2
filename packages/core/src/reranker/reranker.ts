/** The reranker: runs pairs of texts through tokenizer, encoder and head, with the same pipeline as the embedder. */
import { checkOptionNames, type AbortScope, type OptionNames } from '@sentvec/platform';
import type { Encoder } from '../backend.ts';
import { BatchScheduler } from '../embedder/batch-scheduler.ts';
import { Calls } from '../embedder/calls.ts';
import { Pipeline } from '../embedder/pipeline.ts';
import { ReceiptCounter } from '../embedder/receipt.ts';
import { resolvePrompt } from '../embedder/settings.ts';
import { checkedTexts, checkIsArray, checkRankQuery, windowsOf } from '../embedder/windows.ts';
import { SentvecError } from '../errors.ts';
import { applyActivation, isActivation } from '../projection/activation.ts';
import type { Activation, Head, Matrix, ModelFiles, SelfCheckResult, Tokenizer } from '../types.ts';
import type { RankedDocument } from '../search/top-rows.ts';
import { checkTopK } from '../search/vector-checks.ts';
import type { RankOptions, Reranker, RerankerParts, ScoreOptions, Scores, TextPair } from './reranker-types.ts';

const scoreOptionNames: OptionNames<ScoreOptions> = {
  activation: true,
  prompt: true,
  promptText: true,
  truncate: true,
  batchTokens: true,
  signal: true,
  onProgress: true,
};

const rankOptionNames: OptionNames<RankOptions> = { ...scoreOptionNames, topK: true, label: true };

/** Activations that normalize the scores over all labels of a pair. */
const normalizingActivations: ReadonlySet<Activation> = new Set<Activation>(['Softmax', 'Softmin', 'LogSoftmax']);

/** Creates a reranker from its parts. It owns them: its `dispose` disposes them. */
export function createReranker(parts: RerankerParts): Reranker {
  return new PairReranker(parts);
}

class PairReranker implements Reranker {
  readonly kind = 'reranker';
  readonly model: ModelFiles;
  readonly labels: readonly string[];
  readonly activation: Activation;
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  readonly backend: string | undefined;
  readonly head: Head;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly selfCheck: SelfCheckResult | undefined;
  readonly #parts: RerankerParts;
  readonly #scheduler: BatchScheduler;
  readonly #calls = new Calls('reranker');

  constructor(parts: RerankerParts) {
    this.model = parts.model;
    this.labels = parts.labels;
    this.activation = parts.activation;
    this.maxLength = parts.maxLength;
    this.tokenizer = parts.tokenizer;
    this.encoder = parts.encoder;
    this.backend = parts.backend;
    this.head = parts.head;
    this.prompts = parts.prompts;
    this.defaultPrompt = parts.defaultPrompt;
    this.selfCheck = parts.selfCheck;
    this.#parts = parts;
    this.#scheduler = BatchScheduler.of(parts.encoder);
  }

  async rank(query: string, documents: readonly string[], options: RankOptions = {}): Promise<RankedDocument[]> {
    checkOptionNames('rank()', options, rankOptionNames);
    const { topK = Infinity, label, ...scoring } = options;
    checkTopK(topK);
    checkRankQuery(query);
    checkIsArray('rank()', documents, 'documents');
    const column = this.#columnOf(label);
    const texts = await checkedTexts(documents, 'rank()');
    const { raw, scores } = await this.#score(
      texts.map((document) => [query, document] as const),
      scoring,
    );
    const at = ({ data, cols }: Matrix, row: number): number => data[row * cols + column]!;
    // A sigmoid rounds large logits to 1, so equal scores are ordered by their logits.
    const rows = texts
      .map((_, row) => row)
      .sort((a, b) => at(scores, b) - at(scores, a) || at(raw, b) - at(raw, a) || a - b);
    return rows.slice(0, topK).map((row) => ({ row, score: at(scores, row), document: texts[row]! }));
  }

  async score(pairs: readonly TextPair[], options: ScoreOptions = {}): Promise<Scores> {
    checkOptionNames('score()', options, scoreOptionNames);
    const { scores, receipt } = await this.#score(await checkedPairs(pairs), options);
    return { scores, receipt };
  }

  dispose(): Promise<void> {
    return this.#calls.dispose([this.tokenizer, this.encoder]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** The logits of each pair (`raw`), and the scores after the activation. */
  async #score(pairs: readonly TextPair[], options: ScoreOptions): Promise<Scores & { readonly raw: Matrix }> {
    const counter = new ReceiptCounter();
    const activation = this.#activationOf(options.activation);
    const prompt = resolvePrompt(this.#parts, options);
    const batchTokens = options.batchTokens ?? this.encoder.batchTokens;
    if (!(batchTokens >= 1))
      throw new SentvecError('invalid-argument', `batchTokens is ${batchTokens}; it must be at least 1.`);
    const dimension = this.labels.length;
    const scope = this.#calls.begin(options.signal);
    try {
      const raw = { data: new Float32Array(pairs.length * dimension), rows: pairs.length, cols: dimension };
      const allocate = (firstRow: number, rows: number): Float32Array =>
        raw.data.subarray(firstRow * dimension, (firstRow + rows) * dimension);
      const parts = {
        ...this.#parts,
        tokenize: this.#tokenizerOf(pairs, prompt ?? '', options.truncate ?? true, scope),
      };
      const settings = { prompt, head: this.head, dimension, batchTokens, shareBatches: true };
      const pipeline = new Pipeline(parts, settings, scope, this.#scheduler, {
        allocate,
        onProgress: options.onProgress,
      });
      for await (const window of pipeline.windows(windowsOf(pairs.map(([, second]) => second)))) counter.add(window);
      const scores = { ...raw, data: raw.data.slice() };
      applyActivation(activation, scores.data, dimension);
      const receipt = { ...counter.receipt(this.#parts.notes), prompt: prompt || undefined };
      this.#parts.onReceipt?.(receipt);
      return { raw, scores, receipt };
    } finally {
      this.#calls.end(scope);
    }
  }

  #tokenizerOf(pairs: readonly TextPair[], prompt: string, truncate: boolean, { signal }: AbortScope) {
    const { maxLength, pairTokenizer } = this.#parts;
    return async ({ firstRow, texts }: { readonly firstRow: number; readonly texts: readonly string[] }) => {
      const tokenized = await pairTokenizer(pairs.slice(firstRow, firstRow + texts.length), {
        maxLength,
        prompt,
        signal,
      });
      const cut = truncate ? -1 : tokenized.findIndex((pair) => pair.truncated);
      if (cut === -1) return tokenized;
      const row = firstRow + cut;
      throw new SentvecError(
        'invalid-text',
        `Pair ${row} has ${tokenized[cut]!.length} tokens; ${this.model.name} reads at most ${maxLength}. Shorten the texts, or leave out "truncate", so that the longer text of the pair is truncated.`,
        { row, length: tokenized[cut]!.length, maxLength },
      );
    };
  }

  #activationOf(wanted: Activation = this.activation): Activation {
    if (!isActivation(wanted))
      throw new SentvecError(
        'invalid-argument',
        `There is no activation "${String(wanted)}". Use Identity for logits, Sigmoid, Softmax, or another class name of torch.nn.`,
      );
    if (this.labels.length > 1 || !normalizingActivations.has(wanted)) return wanted;
    throw new SentvecError(
      'invalid-argument',
      `${this.model.name} gives one score for a pair, and the ${wanted} of a single number is constant. Use Sigmoid for scores from 0 to 1, or Identity for logits.`,
    );
  }

  #columnOf(label: string | undefined): number {
    const choice = `Its labels are ${this.labels.map((each) => JSON.stringify(each)).join(', ')}.`;
    if (label === undefined) {
      if (this.labels.length === 1) return 0;
      throw new SentvecError(
        'invalid-argument',
        `${this.model.name} has a score for each of ${this.labels.length} labels: set "label" to the one to rank by, or use score(). ${choice}`,
      );
    }
    const column = this.labels.indexOf(label);
    if (column !== -1) return column;
    throw new SentvecError('invalid-argument', `${this.model.name} has no label ${JSON.stringify(label)}. ${choice}`);
  }
}

async function checkedPairs(pairs: readonly TextPair[]): Promise<readonly TextPair[]> {
  checkIsArray('score()', pairs, 'pairs of texts');
  const row = pairs.findIndex((pair) => !Array.isArray(pair) || pair.length !== 2);
  if (row !== -1)
    throw new SentvecError(
      'invalid-argument',
      `Pair ${row} is not an array of two texts. score() takes [[query, document], …].`,
      { row },
    );
  const [firsts, seconds] = [
    await checkedTexts(
      pairs.map(([first]) => first),
      'score()',
    ),
    await checkedTexts(
      pairs.map(([, second]) => second),
      'score()',
    ),
  ];
  return firsts.map((first, index) => [first, seconds[index]!]);
}
