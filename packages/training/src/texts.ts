import type { Pooling, TokenizedText, Tokenizer } from '@sentvec/core';

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
  /** The first token that pooling sees. */
  readonly pooledFrom: number;
}

/** Texts as token ids, each after the prompt. Each different text is tokenized once. */
export async function tokenizeColumn(
  reader: TextReader,
  texts: readonly string[],
  prompt = '',
  signal?: AbortSignal,
): Promise<TokenizedColumn> {
  const { tokenizer, maxLength, addSpecialTokens } = reader;
  const different = [...new Set(texts)];
  const tokenized = await tokenizer.encode(
    different.map((text) => prompt + text),
    { maxLength, addSpecialTokens, signal },
  );
  const byText = new Map(different.map((text, index) => [text, tokenized[index]!]));
  return { texts: texts.map((text) => byText.get(text)!), pooledFrom: await promptTokens(reader, prompt) };
}

/**
 * The opening special tokens and the ids of the prompt, where pooling leaves the prompt out: as sentence-transformers
 * counts `prompt_length`.
 */
async function promptTokens({ tokenizer, pooling, addSpecialTokens }: TextReader, prompt: string): Promise<number> {
  if (prompt === '' || (pooling.includePrompt ?? true)) return 0;
  const [alone] = await tokenizer.encode([prompt], { maxLength: Infinity, addSpecialTokens });
  return alone!.ids.length - (addSpecialTokens ? tokenizer.specialTokens.suffix.length : 0);
}
