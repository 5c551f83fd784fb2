// The golden models: their names, and the form of the values that are expected from them.
import type { ModelFiles, SimilarityFunction } from '@sentvec/core';

/** One text with its ids and vectors, as PyTorch computed them. */
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
  /** How many of the ids belong to the prompt; `null` for an empty prompt, which is none. */
  readonly prompt_length: number | null;
}

/** The contents of a golden model's `expected.json`. */
export interface GoldenExpectation {
  readonly model: string;
  readonly model_type: string;
  /** `null`: the folder sets no limit. */
  readonly max_seq_length: number | null;
  readonly pooled_dimension: number;
  readonly dimension: number;
  readonly similarity_fn_name: SimilarityFunction;
  /** How exact float32 is for this model: the largest differences that do not count as a mistake. */
  readonly measured: {
    /** Of an entry of a final vector. */
    readonly tolerance?: number | undefined;
    /** Of an entry of a token's vector. */
    readonly token_tolerance?: number | undefined;
  };
  readonly cases: readonly GoldenCase[];
  readonly prompted: readonly GoldenPromptedCase[];
  /** For a model with adapters for tasks: the final vectors of the cases with the adapter of each task. */
  readonly tasks?: Readonly<Record<string, readonly (readonly number[])[]>> | undefined;
}

/** The tiny models with known outputs with which everything is tried. */
export const goldenModelNames: readonly string[] = ['tiny-bert', 'tiny-roberta', 'tiny-mpnet', 'tiny-bert-multipool'];

/** The tiny models of further architectures and layouts of folders, whose ids and vectors are compared. */
export const goldenArchitectureNames: readonly string[] = [
  'tiny-modernbert-cls',
  'tiny-modernbert-mean',
  'tiny-nomic',
  'tiny-nomic-original',
  'tiny-nomic-moe',
  'tiny-gte',
  'tiny-jina2',
  'tiny-jina2-12heads',
  'tiny-jina3',
  'tiny-jina3-tasks',
  'tiny-qwen2',
  'tiny-qwen3',
  'tiny-qwen3-bidirectional',
  'tiny-qwen3-causal-lm',
  'tiny-llama',
  'tiny-llama-bidirectional',
  'tiny-mistral',
  'tiny-eurobert',
  'tiny-gemma3',
  'tiny-gemma3-v5',
  'tiny-lfm2',
  'tiny-t5',
  'tiny-mt5',
  'tiny-umt5',
  'tiny-electra',
  'tiny-albert',
  'tiny-deberta-v3',
  'tiny-camembert',
  'tiny-ernie',
  'tiny-data2vec-text',
  'tiny-megatron-bert',
  'tiny-xlmr-xl',
  'tiny-roformer',
  'tiny-squeezebert',
  'st6-bert',
  'st6-distilbert',
  'st6-layernorm',
  'st6-mpnet',
  'st6-roberta',
  'st6-xlmr',
];

/** One text with the vector that sentence-transformers gives it as a query, as a document, or without a role. */
export interface GoldenCallCase {
  readonly call: 'encode' | 'encode_query' | 'encode_document';
  readonly text: string;
  readonly embedding: readonly number[];
}

/** The tiny models whose `expected.json` has cases for each of these calls. */
export const goldenCallNames: readonly string[] = [
  'st6-bert-truncate',
  'st6-router',
  'st6-router-static',
  'st6-static',
];

/** A query or document with the token vectors that a model of late interaction gives. */
export interface GoldenTokenCase {
  readonly kind: 'query' | 'document';
  readonly text: string;
  /** After the expansion of queries. */
  readonly ids: readonly number[];
  /** As the encoder sees it. */
  readonly attention_mask: readonly number[];
  /** Vectors that the text has. */
  readonly rows: number;
  /** The first of them, or all. */
  readonly embeddings: readonly (readonly number[])[];
}

/** The contents of `expected.json` of a golden model of late interaction. */
export interface GoldenMultiVectors {
  readonly model: string;
  readonly dimension: number;
  readonly measured: { readonly tolerance: number };
  /** The score of each query with each document. */
  readonly maxsim: readonly (readonly number[])[];
  readonly cases: readonly GoldenTokenCase[];
}

/** The tiny models of late interaction: of sentence-transformers 6, of PyLate, and of Stanford. */
export const goldenMultiVectorNames: readonly string[] = [
  'late-bert',
  'late-modernbert',
  'late-modernbert-expanded',
  'late-pylate',
  'late-stanford',
];

/** A text with the entries of its vector that are not zero. */
export interface GoldenSparseCase {
  /** Of a model that reads queries and documents differently. */
  readonly route?: 'query' | 'document' | undefined;
  readonly text: string;
  readonly indices: readonly number[];
  readonly values: readonly number[];
  /** The largest entries. */
  readonly decode_top_5?: readonly (readonly [term: string | null, weight: number])[] | undefined;
}

/** The contents of `expected.json` of a golden sparse model. */
export interface GoldenSparse {
  readonly model: string;
  readonly dimension: number;
  readonly measured: { readonly tolerance: number };
  readonly similarity: {
    readonly queries: readonly string[];
    readonly documents: readonly string[];
    /** The dot product of each query with each document. */
    readonly scores: readonly (readonly number[])[];
  };
  readonly max_active_dims_16: readonly GoldenSparseCase[];
  readonly cases: readonly (GoldenSparseCase & { readonly ids: readonly number[] })[];
}

/** The tiny sparse models: SPLADE with four encoders, and one whose queries need none. */
export const goldenSparseNames: readonly string[] = [
  'splade-bert-max',
  'splade-bert-sum',
  'splade-distilbert',
  'splade-inference-free',
  'splade-modernbert',
  'splade-roberta',
];

/** A pair of texts with the scores that a reranker gives. */
export interface GoldenPair {
  readonly query: string;
  readonly document: string;
  readonly ids: readonly number[];
  /** `undefined` for a tokenizer that gives no types to the model. */
  readonly token_type_ids?: readonly number[] | undefined;
  /** Without the activation: a number for each label. */
  readonly logits: readonly number[];
  readonly scores: readonly number[];
}

/** The contents of `expected.json` of a golden reranker. */
export interface GoldenPairs {
  readonly model: string;
  readonly num_labels: number;
  readonly max_seq_length: number;
  /** The class of the activation in PyTorch. */
  readonly activation_fn: string;
  readonly measured: { readonly tolerance: number };
  /** For a model with one label. */
  readonly rank?:
    | {
        readonly query: string;
        readonly documents: readonly string[];
        readonly results: readonly { readonly corpus_id: number; readonly score: number }[];
      }
    | undefined;
  readonly cases: readonly GoldenPair[];
}

/** The tiny rerankers: heads of the architectures, and layouts of sentence-transformers 3 to 6 and of transformers. */
export const goldenRerankerNames: readonly string[] = [
  'rerank-albert',
  'rerank-bert-1-label',
  'rerank-bert-3-labels',
  'rerank-bert-ms-marco-old',
  'rerank-deberta-v3-3',
  'rerank-distilbert',
  'rerank-electra',
  'rerank-modernbert-cls-1',
  'rerank-modernbert-mean-3',
  'rerank-mpnet',
  'rerank-pooled-dense',
  'rerank-qwen3-lm',
  'rerank-roberta-1-label',
  'rerank-xlm-roberta-plain',
];

/** Where golden models come from: the files of this package in Node, `fetch` in a browser. */
export interface GoldenSource {
  /** A golden model's folder. */
  model(name: string): ModelFiles;
  /** What it gives for its texts. */
  expectation(name: string): GoldenExpectation | Promise<GoldenExpectation>;
}
