import * as library from '@huggingface/tokenizers';

/**
 * What sentvec uses of `@huggingface/tokenizers` 0.2, whose own declarations do not resolve under Node's rules. The
 * parts of a tokenizer are functions with methods; a method that is assigned takes the place of the library's.
 */
export interface LibraryTokenizer {
  normalizer: LibraryNormalizer | null;
  pre_tokenizer: LibraryPreTokenizer | null;
  model: LibraryModel;
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: (number | undefined)[] };
}

export interface LibraryNormalizer {
  normalize(text: string): string;
  /** Of a sequence. */
  readonly normalizers?: readonly LibraryNormalizer[];
}

export interface LibraryPreTokenizer {
  pre_tokenize_text(text: string, options?: { readonly section_index?: number }): string | string[];
  /** Of a sequence. */
  readonly tokenizers?: readonly LibraryPreTokenizer[];
  /** Of those that cut by a regular expression. */
  pattern?: RegExp | null;
}

/** From the pieces of the pre-tokenizer to tokens. */
export interface LibraryModel {
  (pieces: readonly string[]): string[];
  readonly tokens_to_ids: Map<string, number>;
  readonly unk_token_id?: number | undefined;
}

/** Makes a tokenizer of the library. */
export const createTokenizer = (json: object, config: object): LibraryTokenizer =>
  new (library.Tokenizer as unknown as new (json: object, config: object) => LibraryTokenizer)(json, config);
