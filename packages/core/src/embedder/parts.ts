import type { Encoder } from '../backend.ts';
import type { SelfCheckResult, Head, ModelFiles, SimilarityFunction, Tokenizer } from '../types.ts';

/** What an embedder is put together from; see {@link createEmbedder}. */
export interface EmbedderParts {
  readonly model: ModelFiles;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  readonly head: Head;
  /**
   * The most tokens of a text that are read, special tokens included; more are cut. At most what the encoder has
   * positions for.
   */
  readonly maxLength: number;
  /** Whether texts get the special tokens of the model. Default true. */
  readonly addSpecialTokens?: boolean | undefined;
  /** Default: none. */
  readonly prompts?: Readonly<Record<string, string>> | undefined;
  /** Name of the prompt that is used when a call names none. */
  readonly defaultPrompt?: string | undefined;
  /** Length of the vectors when a call names none. Default: what the head gives. */
  readonly truncateDim?: number | undefined;
  /** Default `cosine`. */
  readonly similarityFunction?: SimilarityFunction | undefined;
  /** Where the encoder's weights and `config.json` stand, for the fingerprint. Default: `model`. */
  readonly encoderFiles?: ModelFiles | undefined;
  /**
   * Hash of all that decides how the tokenizer cuts a text, for the fingerprint. Default: of its name, vocabulary size
   * and special tokens, which does not tell two tokenizers of one make apart.
   */
  readonly tokenizerHash?: string | undefined;
  /** See {@link Embedder.selfCheck}. */
  readonly selfCheck?: SelfCheckResult | undefined;
  /** What was assumed on the user's behalf, in sentences, for the receipts. */
  readonly notes?: readonly string[] | undefined;
}
