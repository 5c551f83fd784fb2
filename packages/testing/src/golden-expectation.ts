import type { ModelFiles, SimilarityFunction } from '@sentvec/core';

/** One text with what PyTorch made of it. */
export interface GoldenCase {
  readonly text: string;
  readonly ids: readonly number[];
  readonly tokens: readonly string[];
  readonly truncated: boolean;
  /** After pooling, before dense and normalize. */
  readonly pooled: readonly number[];
  /** The final vector. */
  readonly embedding: readonly number[];
  /** The last hidden state, a row for each id. Only some cases have it. */
  readonly token_embeddings?: readonly (readonly number[])[] | undefined;
}

/** A text that was embedded with one of the model's prompts. */
export interface GoldenPromptedCase extends Omit<GoldenCase, 'tokens' | 'truncated' | 'token_embeddings'> {
  readonly prompt_name: string;
  readonly prompt: string;
  readonly prompt_length: number;
}

/** The contents of a golden model's `expected.json`. */
export interface GoldenExpectation {
  readonly model: string;
  readonly model_type: string;
  readonly max_seq_length: number;
  readonly pooled_dimension: number;
  readonly dimension: number;
  readonly similarity_fn_name: SimilarityFunction;
  readonly cases: readonly GoldenCase[];
  readonly prompted: readonly GoldenPromptedCase[];
}

/** The tiny models with known outputs that this package ships. */
export const goldenModelNames: readonly string[] = ['tiny-bert', 'tiny-roberta', 'tiny-mpnet', 'tiny-bert-multipool'];

/** Where golden models come from: the files of this package in Node, `fetch` in a browser. */
export interface GoldenSource {
  /** A golden model's folder. */
  model(name: string): ModelFiles;
  /** What it gives for its texts. */
  expectation(name: string): GoldenExpectation | Promise<GoldenExpectation>;
}
