import { countUnpooledTokens, type Pooling, type TokenizedText, type Tokenizer } from '@sentvec/core';

/** How texts become the token ids that a model is trained on. */
export interface TextReader {
  readonly tokenizer: Tokenizer;
  /** The most tokens of a text. */
  readonly maxLength: number;
  readonly addSpecialTokens: boolean;
  readonly pooling: Pooling;
}

/** Tokenized texts of a column. */
export interface TokenizedColumn {
  readonly texts: readonly TokenizedText[];
  /** Leading tokens that take no part in pooling. */
  readonly unpooledTokens: number;
}

/** Texts as token ids, each after the prompt. Each different text is tokenized once. */
export async function tokenizeColumn(
  reader: TextReader,
  texts: readonly string[],
  prompt = '',
  signal?: AbortSignal,
): Promise<TokenizedColumn> {
  const { tokenizer, pooling, maxLength, addSpecialTokens } = reader;
  const options = { maxLength, addSpecialTokens, signal };
  const different = [...new Set(texts)];
  const tokenized = await tokenizer.encode(
    different.map((text) => prompt + text),
    options,
  );
  const byText = new Map(different.map((text, index) => [text, tokenized[index]!]));
  return {
    texts: texts.map((text) => byText.get(text)!),
    unpooledTokens: await countUnpooledTokens(prompt, pooling, tokenizer, options),
  };
}
