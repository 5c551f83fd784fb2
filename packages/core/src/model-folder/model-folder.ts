/** The contents of a model folder, and the options with which it is read. */
import type { PoolingChoice, PoolingPlugin } from '../pooling/pooling-plugin.ts';
import type { Encoder } from '../backend.ts';
import type { Head, ModelFiles, SimilarityFunction } from '../types.ts';

/** What a model folder says of its encoder. */
export interface EncoderPart {
  /** `transformer`: a backend loads the encoder from `encoderFiles`. `static`: it is `staticEncoder`. */
  readonly encoder: 'transformer' | 'static';
  /** Folder of encoder and tokenizer inside the model: `''`, or one such as `0_Transformer`. */
  readonly encoderPath: string;
  /** The files in that folder. */
  readonly encoderFiles: ModelFiles;
  /** The encoder itself, for static embeddings: they need no backend. */
  readonly staticEncoder: Encoder | undefined;
  /** Length of a token's vector, when the folder says. */
  readonly hiddenSize: number | undefined;
  /** The most tokens of a text, special tokens included; `undefined` when the folder does not say. */
  readonly maxLength: number | undefined;
  /** Whether texts are put in lower case before the tokenizer, whatever it does itself. */
  readonly lowerCase: boolean;
  /** Whether texts get the special tokens of the model: not those of static embeddings. */
  readonly addSpecialTokens: boolean;
  /** Pieces of texts that are one token each, if the vocabulary has them, however the tokenizer would split them. */
  readonly markers?: readonly string[] | undefined;
}

/** What `config_sentence_transformers.json` says. */
export interface ModelSettings {
  /** Texts to put before the user's, by name. */
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  /** How many entries of a vector to keep. */
  readonly truncateDim: number | undefined;
}

/**
 * Where the head of a model comes from: the folder's own modules; an output of the ONNX file that has a vector for each
 * text; the modules of the model that the card names as its base; the caller; nowhere, as for an encoder that is no
 * model of sentences yet.
 */
export type HeadSource = 'modules' | 'graph' | 'base-model' | 'caller' | 'assumed';

/** What a model folder says: the four parts and how to use them. */
export interface ModelFolder extends EncoderPart, ModelSettings {
  readonly head: Head;
  readonly headSource: HeadSource;
  /**
   * Whether the inputs are pairs of texts, put together by the tokenizer's template.
   * @default false
   */
  readonly pairs?: boolean | undefined;
  /** The route of a Router that encoder and head belong to; `undefined` for a model without routes. */
  readonly route?: string | undefined;
  /**
   * The names of all its routes.
   * @default none
   */
  readonly routes?: readonly string[] | undefined;
  /** What was decided on the user's behalf, in sentences. */
  readonly notes: readonly string[];
}

/** Options of {@link readModelFolder}. */
export interface ModelFolderOptions {
  /** A pooling to use instead of the folder's. */
  readonly pooling?: PoolingChoice | undefined;
  /** Poolings that the folder may name: as the last segment of a class path in `modules.json`, or as `pooling_mode`. */
  readonly poolings?: readonly PoolingPlugin[] | undefined;
  /**
   * Which way texts go through a model with a Router (or Asym): the name of a route, or a task that the Router maps to
   * one: `query`, `document`. For an embedder: the way of the calls that choose none, neither by `route` nor by `as`.
   * @default the one that the Router has as its default
   */
  readonly route?: string | undefined;
}

/** Called when a folder names no pooling: the vectors of texts that its ONNX file gives, if it gives any. */
export type FindGraphOutput = (encoder: EncoderPart) => Promise<Encoder['pooledOutput']>;
