// Compares a tokenizer with the weights of an encoder, so that no id without weights reaches it.
import { SentvecError } from '../errors.ts';
import type { TokenizedText, Tokenizer } from '../types.ts';
import type { TokenizerDefinition } from './definition.ts';
import { textError } from './unreadable-text.ts';
import { piecesById } from './vocabulary.ts';

/**
 * A tokenizer for an encoder that has weights for fewer ids than the tokenizer may give. Only added tokens may be without
 * weights (Gemma has one for images): a text with such a token is refused, not the model.
 * @param size number of ids that the encoder has weights for; `undefined` when that is not known
 * @param model its name, for messages
 * @throws SentvecError `invalid-model` when pieces of the vocabulary, special tokens or padding have no weights
 */
export function refuseTokensWithoutWeights(
  tokenizer: Tokenizer,
  definition: TokenizerDefinition,
  size: number | undefined,
  model: string,
): Tokenizer {
  checkVocabulary(definition, size, model);
  if (size === undefined || definition.vocabularySize <= size) return tokenizer;
  return {
    get name() {
      return tokenizer.name;
    },
    vocabularySize: tokenizer.vocabularySize,
    paddingId: tokenizer.paddingId,
    specialTokens: tokenizer.specialTokens,
    dispose: () => tokenizer.dispose(),
    encode: async (texts, options) => {
      const tokenized = await tokenizer.encode(texts, options);
      for (const [row, text] of tokenized.entries()) checkIds(text, row, size, definition);
      return tokenized;
    },
  };
}

/**
 * Checks that an encoder has weights for all ids that an ordinary text can have.
 * @throws SentvecError `invalid-model`
 */
export function checkVocabulary(definition: TokenizerDefinition, size: number | undefined, model: string): void {
  if (size === undefined) return;
  const largest = largestNeededId(definition);
  if (largest < size) return;
  throw new SentvecError(
    'invalid-model',
    `The tokenizer of ${model} gives ids up to ${largest}, but its encoder has weights for ${size} ids only. Are they of the same model?`,
    { file: 'tokenizer.json' },
  );
}

/** The largest id that needs weights. Added tokens need none, even those that the vocabulary has too. */
function largestNeededId({ json, specialTokens, paddingId }: TokenizerDefinition): number {
  const added = new Set(json.added_tokens.map(({ id }) => id));
  const { vocab } = json.model;
  const pieces = Array.isArray(vocab) ? vocab : piecesById(vocab as Readonly<Record<string, number>>)!.pieces;
  let largest = pieces.length - 1;
  while (largest >= 0 && (pieces[largest] === undefined || added.has(largest))) largest -= 1;
  return Math.max(largest, paddingId, ...specialTokens.prefix, ...specialTokens.suffix);
}

function checkIds({ ids }: TokenizedText, row: number, size: number, { json }: TokenizerDefinition): void {
  const id = ids.find((each) => each >= size);
  if (id === undefined) return;
  const token = json.added_tokens.find((added) => added.id === id)?.content ?? String(id);
  throw textError(row, `has the token ${JSON.stringify(token)}, for which the model has no weights. Leave it out.`);
}
