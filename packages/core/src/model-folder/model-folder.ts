/** The configuration of a model folder, and the options for reading it. */
import type { PoolingChoice, PoolingPlugin } from '../pooling/pooling-plugin.ts';
import type { Encoder } from '../backend.ts';
import type { Head, ModelFiles, SimilarityFunction } from '../types.ts';

/** The configuration of a model's encoder. */
export interface EncoderPart {
  /** `transformer`: a backend loads the encoder from `encoderFiles`. `static`: it is `staticEncoder`. */
  readonly encoder: 'transformer' | 'static';
  /** Folder of encoder and tokenizer inside the model: `''`, or one such as `0_Transformer`. */
  readonly encoderPath: string;
  /** The files in that folder. */
  readonly encoderFiles: ModelFiles;
  /** The encoder itself, for static embeddings: they need no backend. */
  readonly staticEncoder: Encoder | undefined;
  /** Length of a token's vector; `undefined` when the folder does not say. */
  readonly hiddenSize: number | undefined;
  /** The most tokens of a text, special tokens included; `undefined` when the folder does not say. */
  readonly maxLength: number | undefined;
  /** Whether texts are lowercased before tokenization, in addition to what the tokenizer does (`do_lower_case`). */
  readonly lowerCase: boolean;
  /** Whether special tokens are added to texts. Models with static embeddings add none. */
  readonly addSpecialTokens: boolean;
  /** Strings that are always one token if the vocabulary contains them, even if the tokenizer would split them. */
  readonly markers?: readonly string[] | undefined;
}

/** The settings in `config_sentence_transformers.json`. */
export interface ModelSettings {
  /** Prompts by name: each is put before the user's text. */
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  /** How many entries of a vector to keep. */
  readonly truncateDim: number | undefined;
}

/**
 * Where the head of a model comes from. `modules`: the folder's own modules. `graph`: an output of the ONNX file with a
 * vector for each text. `base-model`: the modules of the base model on the model card. `caller`: the option `pooling`.
 * `assumed`: the default of sentence-transformers, for an encoder that was not trained for sentence embeddings.
 */
export type HeadSource = 'modules' | 'graph' | 'base-model' | 'caller' | 'assumed';

/** The configuration of a model: its four parts and how they are used. */
export interface ModelFolder extends EncoderPart, ModelSettings {
  readonly head: Head;
  readonly headSource: HeadSource;
  /**
   * Whether the inputs are pairs of texts, which the tokenizer's template joins.
   * @default false
   */
  readonly pairs?: boolean | undefined;
  /** The Router's route to which encoder and head belong; `undefined` for a model without routes. */
  readonly route?: string | undefined;
  /**
   * The names of all its routes.
   * @default none
   */
  readonly routes?: readonly string[] | undefined;
  /** Assumptions that were made, one sentence each. */
  readonly notes: readonly string[];
}

/** Options of {@link readModelFolder}. */
export interface ModelFolderOptions {
  /** A pooling to use instead of the folder's. */
  readonly pooling?: PoolingChoice | undefined;
  /**
   * Custom poolings that the folder may refer to, by the last segment of a class path in `modules.json` or by
   * `pooling_mode`.
   */
  readonly poolings?: readonly PoolingPlugin[] | undefined;
  /**
   * For a model with a `Router` (formerly `Asym`) module: the name of a route, or a task (`query`, `document`) that the
   * Router maps to a route. In an embedder it is the route for calls that set neither `route` nor `as`.
   * @default the Router's default route
   */
  readonly route?: string | undefined;
}

/**
 * Finds the output of an ONNX file with a vector for each text, if it has one. Called when a folder does not specify a
 * pooling.
 */
export type FindGraphOutput = (encoder: EncoderPart) => Promise<Encoder['pooledOutput']>;
