import { SentvecError } from '../errors.ts';
import type { AddedToken, TokenizerJson } from './tokenizer-json.ts';

/**
 * Makes of a `vocab.txt` (one piece a line, the line number is the id) the `tokenizer.json` that transformers would:
 * BERT's normalizer and pre-tokenizer, WordPiece, `[CLS]` and `[SEP]` around the text.
 * @param config `tokenizer_config.json`; it may turn `do_lower_case` (default true), `tokenize_chinese_chars` (default
 * true) and
 *   `strip_accents` (default: as lower-casing), and rename the special tokens
 * @throws SentvecError `invalid-model` when a special token is not in the vocabulary
 */
export function bertTokenizerJson(
  vocabulary: string,
  config: Readonly<Record<string, unknown>>,
  file: string,
): TokenizerJson {
  const vocab = parseVocabulary(vocabulary);
  const special = (name: string, usual: string): AddedToken => {
    const content = tokenContent(config[name]) ?? usual;
    const id = vocab[content];
    if (id === undefined) {
      throw new SentvecError(
        'invalid-model',
        `${file} has no line "${content}", the ${name} of the tokenizer. Is it the vocabulary of this model?`,
        { file },
      );
    }
    return { id, content, special: true, normalized: false, single_word: false, lstrip: false, rstrip: false };
  };
  const padding = special('pad_token', '[PAD]');
  const unknown = special('unk_token', '[UNK]');
  const opening = special('cls_token', '[CLS]');
  const closing = special('sep_token', '[SEP]');
  const mask =
    vocab[tokenContent(config['mask_token']) ?? '[MASK]'] === undefined ? [] : [special('mask_token', '[MASK]')];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [padding, unknown, opening, closing, ...mask],
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: config['tokenize_chinese_chars'] ?? true,
      strip_accents: config['strip_accents'] ?? null,
      lowercase: config['do_lower_case'] ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', sep: [closing.content, closing.id], cls: [opening.content, opening.id] },
    decoder: null,
    model: {
      type: 'WordPiece',
      unk_token: unknown.content,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}

/** The text of a token in a configuration, where it stands as a string or as an object with `content`. */
export function tokenContent(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  if (typeof token === 'object' && token !== null && 'content' in token && typeof token.content === 'string')
    return token.content;
  return undefined;
}

function parseVocabulary(text: string): Record<string, number> {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const vocab = Object.create(null) as Record<string, number>;
  for (const [id, line] of lines.entries()) vocab[line.replace(/\r$/u, '')] = id;
  return vocab;
}
