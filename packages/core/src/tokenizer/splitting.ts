import { Component } from './component.ts';
import { createNormalizer, type Normalizer } from './normalizers.ts';
import { asksForStart, createPreTokenizer, type PreTokenizer } from './pre-tokenizers.ts';
import type { TokenizerComponent } from './tokenizer-json.ts';

/** What a tokenizer does to a text before the model sees it. */
export interface Splitting {
  readonly normalize: Normalizer;
  readonly preTokenize: PreTokenizer;
  /** Whether the result depends on where the text began. */
  readonly asksForStart: boolean;
}

/**
 * Makes normalizer and pre-tokenizer of a `tokenizer.json`.
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function readSplitting(
  normalizer: TokenizerComponent | null,
  preTokenizer: TokenizerComponent | null,
): Promise<Splitting> {
  const preTokenizerFields = preTokenizer && new Component(preTokenizer, 'pre_tokenizer');
  return {
    normalize: normalizer ? await createNormalizer(new Component(normalizer, 'normalizer')) : () => {},
    preTokenize: preTokenizerFields ? await createPreTokenizer(preTokenizerFields) : (pieces) => pieces,
    asksForStart: preTokenizerFields !== null && asksForStart(preTokenizerFields),
  };
}
