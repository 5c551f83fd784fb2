import { SentvecError } from '../../errors.ts';
import type { TokenizerJson, TokenizerModel } from '../tokenizer-json.ts';
import { createTokenizer, type LibraryModel, type LibraryTokenizer } from './library.ts';
import { correctNormalizer } from './normalizers.ts';
import { correctPreTokenizer } from './pre-tokenizers.ts';
import { createBpeModel } from './bpe.ts';
import { createWordPieceModel } from './wordpiece.ts';
import { createUnigramModel } from './unigram.ts';

/** A vocabulary in place of one that the library need not read. */
const emptyModel = { type: 'WordPiece', vocab: {}, unk_token: '[UNK]' };

/**
 * Makes the tokenizer of `@huggingface/tokenizers`, corrected so that its ids are those of the Rust tokenizers.
 * @returns ids of a text, uncut and without special tokens
 * @throws SentvecError `unsupported-model`, `invalid-model`
 */
export function createLibraryTokenizer(json: TokenizerJson): (text: string) => ArrayLike<number> {
  try {
    const tokenizer = createCorrected(json);
    return (text) => tokenizer.encode(text, { add_special_tokens: false }).ids.map(checkId);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const code = /^Unknown \w+ type/u.test(message) ? 'unsupported-model' : 'invalid-model';
    throw new SentvecError(
      code,
      `The tokenizer of this model cannot be used: ${message}.`,
      { file: 'tokenizer.json' },
      { cause: error },
    );
  }
}

function createCorrected(json: TokenizerJson): LibraryTokenizer {
  const model = createModel(json.model);
  const tokenizer = createTokenizer(model ? { ...json, model: emptyModel } : json, {
    unk_token: json.model['unk_token'],
  });
  if (model) tokenizer.model = model;
  correctNormalizer(tokenizer.normalizer, json.normalizer);
  correctPreTokenizer(tokenizer.pre_tokenizer, json.pre_tokenizer);
  return tokenizer;
}

/** The models that the library has, but not for long texts. Old files do not name the type of a model. */
function createModel(model: TokenizerModel): LibraryModel | undefined {
  if (Array.isArray(model.vocab)) return createUnigramModel(model);
  if (model.type === 'BPE' || (model.type === undefined && Array.isArray(model['merges'])))
    return createBpeModel(model);
  return model.type === 'WordPiece' || (model.type === undefined && 'max_input_chars_per_word' in model)
    ? createWordPieceModel(model)
    : undefined;
}

/** A text with characters outside the vocabulary needs the unknown token. */
function checkId(id: number | undefined): number {
  if (id !== undefined) return id;
  throw new SentvecError(
    'invalid-model',
    'The tokenizer of this model has no unknown token for the characters that are not in its vocabulary.',
    {
      file: 'tokenizer.json',
    },
  );
}
