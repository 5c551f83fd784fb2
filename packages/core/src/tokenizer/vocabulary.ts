/** Looks up ids and tokens in a vocabulary and its added tokens, and computes its size. */
import type { AddedToken, TokenizerJson } from './tokenizer-json.ts';

/**
 * Upper limit of token ids, ten times the largest known vocabulary. It bounds the memory that an id in a file can make
 * sentvec allocate.
 */
const maxVocabularySize = 2 ** 22;

/** Whether a value of parsed JSON can be the id of a token. */
export function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < maxVocabularySize;
}

/** The tokens of a vocabulary by their ids. */
interface PiecesById {
  /** The token of each id; of tokens with the same id, the last one. */
  readonly pieces: readonly (string | undefined)[];
  /** Number of tokens. */
  readonly count: number;
  readonly hasSharedIds: boolean;
}

const known = new WeakMap<object, PiecesById>();

/**
 * Reads a vocabulary in one pass. The result is cached, since iterating over an object with so many keys takes as long
 * as parsing it.
 * @returns `undefined` when one of the ids is not valid
 */
export function piecesById(vocab: Readonly<Record<string, unknown>>): PiecesById | undefined {
  const read = known.get(vocab);
  if (read !== undefined) return read;
  const pieces: string[] = [];
  const keys = Object.keys(vocab);
  let hasSharedIds = false;
  for (const piece of keys) {
    const id = vocab[piece];
    if (!isTokenId(id)) return undefined;
    hasSharedIds ||= pieces[id] !== undefined;
    pieces[id] = piece;
  }
  const result = { pieces, count: keys.length, hasSharedIds };
  known.set(vocab, result);
  return result;
}

/** The id of an added token or of a token in the model's vocabulary; `undefined` when there is none. */
export function tokenId(json: TokenizerJson, token: string): number | undefined {
  return json.added_tokens.find((added) => added.content === token)?.id ?? modelIds(json, new Set([token])).get(token);
}

/** The token of each id, including added tokens. */
export function tokensById(json: TokenizerJson): (string | undefined)[] {
  const { vocab } = json.model;
  const tokens = Array.isArray(vocab)
    ? (vocab as readonly (readonly [string, number])[]).map(([piece]): string | undefined => piece)
    : [...piecesById(vocab as Readonly<Record<string, number>>)!.pieces];
  for (const { id, content } of json.added_tokens) tokens[id] = content;
  return tokens;
}

/** One more than the largest id that the tokenizer can give. */
export function vocabularySize(json: TokenizerJson): number {
  return json.added_tokens.reduce((size, { id }) => Math.max(size, id + 1), modelVocabularySize(json));
}

/** One more than the largest id that the model can give, without added tokens. */
function modelVocabularySize({ model: { vocab } }: TokenizerJson): number {
  return Array.isArray(vocab) ? vocab.length : piecesById(vocab as Readonly<Record<string, number>>)!.pieces.length;
}

/**
 * Assigns ids to added tokens like the Rust tokenizers, which ignore those in `tokenizer.json`: the id in the model's
 * vocabulary, or otherwise the next free one, starting with the number of tokens in the vocabulary. This makes all
 * implementations agree even for inconsistent files.
 */
export function assignAddedTokenIds(json: TokenizerJson, tokens: readonly AddedToken[]): AddedToken[] {
  const { vocab } = json.model;
  const ids = modelIds(json, new Set(tokens.map(({ content }) => content)));
  const assigned = new Map<number, AddedToken>();
  let next = Array.isArray(vocab) ? vocab.length : piecesById(vocab as Readonly<Record<string, number>>)!.count;
  for (const added of tokens) {
    if (added.content === '') continue;
    let id = ids.get(added.content);
    if (id === undefined) {
      id = next;
      next += 1;
      ids.set(added.content, id);
    }
    assigned.set(id, { ...added, id });
  }
  return [...assigned.values()];
}

/** The ids of those tokens that are in the model's vocabulary. If a token occurs twice, its last id is used. */
function modelIds({ model: { vocab } }: TokenizerJson, tokens: ReadonlySet<string>): Map<string, number> {
  const ids = new Map<string, number>();
  if (Array.isArray(vocab)) {
    for (const [id, [piece]] of (vocab as readonly (readonly [string, number])[]).entries())
      if (tokens.has(piece)) ids.set(piece, id);
  } else
    for (const token of tokens)
      if (Object.hasOwn(vocab, token)) ids.set(token, (vocab as Record<string, number>)[token]!);
  return ids;
}
