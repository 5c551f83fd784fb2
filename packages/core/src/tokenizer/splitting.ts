import { Component } from './component.ts';
import { createNormalizer, type Normalizer } from './normalizers.ts';
import { dependsOnStart, createPreTokenizer, type PreTokenizer } from './pre-tokenizers.ts';
import type { TokenizerComponent } from './tokenizer-json.ts';

/** The steps of a tokenizer before its model: normalization and splitting into words. */
export interface Splitting {
  readonly normalize: Normalizer;
  readonly preTokenize: PreTokenizer;
  /** Whether the result depends on which piece begins the text. */
  readonly dependsOnStart: boolean;
}

/**
 * Creates normalizer and pre-tokenizer of a `tokenizer.json`.
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
    dependsOnStart: preTokenizerFields !== null && dependsOnStart(preTokenizerFields),
  };
}
