// Types for the format of tokenizer.json, and validation of its structure.
import { SentvecError } from '../errors.ts';
import { isObject } from '../model-folder/json.ts';
import { isTokenId, piecesById } from './vocabulary.ts';

/** A component of `tokenizer.json`: a normalizer, pre-tokenizer or post-processor. */
export interface TokenizerComponent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** An entry of `added_tokens`: a string that is always one token in a text. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Whether it is a special token, such as `[CLS]`. Has no effect on ids. */
  readonly special: boolean;
  /** Whether the token is normalized and searched for in the normalized text. */
  readonly normalized: boolean;
  /** Whether the token is ignored inside of a longer word. */
  readonly single_word: boolean;
  /** Whether the token includes the white space before it. */
  readonly lstrip: boolean;
  /** Whether the token includes the white space after it. */
  readonly rstrip: boolean;
}

/** The `model` section. */
export interface TokenizerModel {
  readonly type?: string;
  /** Tokens with their ids; for Unigram, a list of tokens with their scores, in which the index is the id. */
  readonly vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[];
  readonly [field: string]: unknown;
}

/** The parts of a `tokenizer.json` (the format of Hugging Face tokenizers) that sentvec reads. */
export interface TokenizerJson {
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: TokenizerComponent | null;
  readonly pre_tokenizer: TokenizerComponent | null;
  readonly post_processor: TokenizerComponent | null;
  readonly model: TokenizerModel;
  readonly truncation: { readonly direction?: string } | null;
  readonly padding: { readonly pad_id?: number } | null;
}

/**
 * Validates the structure of a `tokenizer.json`. The fields of its components are validated when these are created.
 * @param file the name of the file, for messages
 * @throws SentvecError `invalid-model`
 */
export function checkTokenizerJson(value: unknown, file: string): TokenizerJson {
  const invalid = (what: string): SentvecError =>
    new SentvecError('invalid-model', `${file} is not a tokenizer of the Hugging Face format: ${what}.`, { file });
  if (!isObject(value)) throw invalid('it is not an object');
  const { version = '1.0' } = value;
  if (version !== '1.0') throw invalid(`its version is ${JSON.stringify(version)}, not "1.0"`);
  const { model, added_tokens: addedTokens = [] } = value;
  if (!isObject(model)) throw invalid('there is no "model" section');
  const wrongVocabulary = vocabularyError(model['vocab']);
  if (wrongVocabulary !== undefined) throw invalid(wrongVocabulary);
  if (!Array.isArray(addedTokens) || !addedTokens.every(isAddedToken)) {
    throw invalid(
      '"added_tokens" must be a list of objects with "content", a whole "id", and "special", "normalized", "single_word", "lstrip" and "rstrip" true or false',
    );
  }
  for (const name of ['normalizer', 'pre_tokenizer', 'post_processor']) {
    const component = value[name] ?? null;
    if (component !== null && !(isObject(component) && typeof component['type'] === 'string')) {
      throw invalid(`"${name}" must be null or an object with a "type"`);
    }
  }
  const { normalizer = null, pre_tokenizer = null, post_processor = null, truncation = null, padding = null } = value;
  const json = { added_tokens: addedTokens, normalizer, pre_tokenizer, post_processor, truncation, padding, model };
  return json as unknown as TokenizerJson;
}

function isAddedToken(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value['content'] === 'string' &&
    isTokenId(value['id']) &&
    ['special', 'normalized', 'single_word', 'lstrip', 'rstrip'].every((flag) => typeof value[flag] === 'boolean')
  );
}

function vocabularyError(vocab: unknown): string | undefined {
  if (Array.isArray(vocab)) {
    const isValid = vocab.every(
      (entry) =>
        Array.isArray(entry) && entry.length === 2 && typeof entry[0] === 'string' && Number.isFinite(entry[1]),
    );
    return isValid ? undefined : 'each entry of "model.vocab" must be a token and its score';
  }
  if (!isObject(vocab)) return '"model.vocab" is missing';
  return piecesById(vocab) ? undefined : '"model.vocab" has an id that is not a whole number from 0 to 4,194,303';
}
