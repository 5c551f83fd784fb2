// Queries of inference-free models: the weight of each token comes from a table, regardless of how often it occurs.
import { shouldYield, throwIfAborted, yieldToEventLoop } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { readTokenizerDefinition } from '../tokenizer/definition.ts';
import type { TokenizerLoader } from '../tokenizer/javascript-tokenizer.ts';
import { checkVocabulary, refuseTokensWithoutWeights } from '../tokenizer/tokens-without-weights.ts';
import type { ModelFiles, Tokenizer, TokenizedText } from '../types.ts';
import { readWeights } from '../weights/read-weights.ts';
import type { SparseVector } from './sparse-vector.ts';

/** Embeds queries with a tokenizer and a table of token weights. */
export class StaticQueries {
  /** Number of terms. */
  readonly dimension: number;
  readonly maxLength: number;
  /** Hashes of weights and tokenizer, for the fingerprint. */
  readonly hashes: { readonly weights: string; readonly tokenizer: string };
  readonly tokenizer: Tokenizer;
  readonly #weights: Float32Array;

  private constructor(tokenizer: Tokenizer, weights: Float32Array, maxLength: number, hashes: StaticQueries['hashes']) {
    this.tokenizer = tokenizer;
    this.#weights = weights;
    this.dimension = weights.length;
    this.maxLength = maxLength;
    this.hashes = hashes;
  }

  /**
   * Reads the folder of a SparseStaticEmbedding
   * (`sentence_transformers/sparse_encoder/modules/sparse_static_embedding.py`).
   * @throws SentvecError `invalid-model`, `unsupported-model`
   */
  static async load(
    files: ModelFiles,
    { maxLength, lowerCase }: { readonly maxLength: number; readonly lowerCase: boolean },
    loadTokenizer: TokenizerLoader,
    hash: (files: ModelFiles, path: string) => Promise<string>,
  ): Promise<StaticQueries> {
    const { shape, data } = (await readWeights(files)).tensor('weight');
    const file = `${files.name}/model.safetensors`;
    const broken = data.find((weight) => !Number.isFinite(weight));
    if (shape.length !== 1 || broken !== undefined)
      throw new SentvecError(
        'invalid-model',
        broken === undefined
          ? `The tensor "weight" of ${file} has the shape [${shape.join(', ')}], not [terms].`
          : `The tensor "weight" of ${file} contains ${broken}, which is not a valid weight. Download the model again.`,
        { file },
      );
    const definition = await readTokenizerDefinition(files, { lowercase: lowerCase });
    const size = data.length;
    checkVocabulary(definition, size, files.name);
    const hashes = { weights: await hash(files, 'model.safetensors'), tokenizer: definition.hash };
    // Copied below, since the numbers may be a view of the whole file.
    const tokenizer = refuseTokensWithoutWeights(await loadTokenizer(definition), definition, size, files.name);
    return new StaticQueries(tokenizer, data.slice(), maxLength, hashes);
  }

  /**
   * Embeds texts. Returns their vectors and their tokens.
   * @throws SentvecError `invalid-text`, `aborted`
   */
  async embed(
    texts: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<{ readonly vectors: SparseVector[]; readonly tokenized: readonly TokenizedText[] }> {
    const options = { maxLength: this.maxLength, addSpecialTokens: false, signal };
    const tokenized = await this.tokenizer.encode(texts, options);
    const vectors: SparseVector[] = [];
    for (const { ids } of tokenized) {
      if (shouldYield()) await yieldToEventLoop();
      throwIfAborted(signal);
      vectors.push(this.#vectorOf(ids));
    }
    return { vectors, tokenized };
  }

  #vectorOf(ids: Int32Array): SparseVector {
    const indices = Int32Array.from(new Set(ids))
      .sort()
      .filter((id) => this.#weights[id] !== 0);
    return { indices, values: Float32Array.from(indices, (id) => this.#weights[id]!) };
  }
}
