// Makes sure that an encoder gets only token ids for which it has embeddings.
import { SentvecError } from '../errors.ts';
import type { TokenizedText, Tokenizer } from '../types.ts';
import type { TokenizerDefinition } from './definition.ts';
import { textError } from './unreadable-text.ts';
import { piecesById } from './vocabulary.ts';

/**
 * Wraps a tokenizer for an encoder that has embeddings for fewer ids than the tokenizer can give. Only added tokens may
 * have no embedding (Gemma has such a token for images): the model is accepted, but a text with such a token is
 * refused.
 * @param size number of ids that the encoder has embeddings for; `undefined` when it is not known
 * @param model name of the model, for messages
 * @throws SentvecError `invalid-model` when tokens of the vocabulary, special tokens or the padding token have no
 * embedding
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
 * Checks that an encoder has embeddings for all ids of texts without added tokens.
 * @throws SentvecError `invalid-model`
 */
export function checkVocabulary(definition: TokenizerDefinition, size: number | undefined, model: string): void {
  if (size === undefined) return;
  const largest = largestNeededId(definition);
  if (largest < size) return;
  throw new SentvecError(
    'invalid-model',
    `The tokenizer of ${model} gives ids up to ${largest}, but its encoder has embeddings only for ${size} ids. Check that both belong to the same model.`,
    { file: 'tokenizer.json' },
  );
}

/** The largest id that needs an embedding. Added tokens need none, even if they are in the vocabulary, too. */
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
  throw textError(
    row,
    `has the token ${JSON.stringify(token)}, for which the model has no embedding. Remove it from the text.`,
  );
}
