// Learns the vocabulary of a WordPiece tokenizer from texts.
import TinyQueue from 'tinyqueue';
import { SentvecError } from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';

/** The special tokens of BERT, at the ids they have there by convention: the first ones. */
const specialTokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];

/** Prefix of a piece that does not begin a word. */
const continuing = '##';

/** Options of {@link trainWordPiece}. */
export interface WordPieceOptions {
  /** Pieces, special tokens included. Fewer when the texts have no more to merge. @default 8000 */
  readonly size?: number | undefined;
  /** Pairs that occur less often are not merged. @default 2 */
  readonly minFrequency?: number | undefined;
}

/**
 * Learns a WordPiece vocabulary from texts: words as BERT's tokenizer cuts them (lower case, no accents, punctuation
 * apart), then the most frequent pair of neighbouring pieces is merged until there are enough (Sennrich et al., 2016,
 * as the tokenizers library trains WordPiece). Deterministic: of equally frequent pairs the first in code-point order.
 * @returns the pieces in the order of their ids, as in `vocab.txt`
 * @throws SentvecError `invalid-argument` when the texts have more characters than `size` has room for
 */
export function trainWordPiece(texts: Iterable<string>, options: WordPieceOptions = {}): string[] {
  checkOptionNames('trainWordPiece()', options, { size: true, minFrequency: true });
  const { size = 8000, minFrequency = 2 } = options;
  checkCount(size, 'vocabularySize');
  const words = [...countWords(texts)].map(([word, count]) => ({ pieces: piecesOf(word), count }));
  const alphabet = [...new Set(words.flatMap(({ pieces }) => pieces))].sort();
  const vocabulary = [...specialTokens, ...alphabet];
  if (vocabulary.length > size) {
    throw new SentvecError(
      'invalid-argument',
      `The texts have ${alphabet.length} different characters; a vocabulary of ${size} is too small for them.`,
    );
  }
  const known = new Set(vocabulary);
  const pairs = new PairCounts(words);
  while (vocabulary.length < size) {
    const best = pairs.mostFrequent();
    if (best === undefined || best.count < minFrequency) break;
    const merged = pairs.merge(best);
    if (known.has(merged)) continue;
    known.add(merged);
    vocabulary.push(merged);
  }
  return vocabulary;
}

/** A word as pieces of one character each, and how often it occurs. */
interface CountedWord {
  pieces: string[];
  readonly count: number;
}

interface Pair {
  readonly left: string;
  readonly right: string;
  readonly count: number;
}

function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    const plain = text
      .toLowerCase()
      .normalize('NFD')
      .replaceAll(/\p{Mn}/gu, '');
    for (const [word] of plain.matchAll(/[\p{P}\p{S}]|[^\s\p{P}\p{S}\p{C}]+/gu))
      counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

function piecesOf(word: string): string[] {
  return Array.from(word, (character, index) => (index === 0 ? character : continuing + character));
}

/** How often pieces are neighbours, kept up to date while pairs are merged. */
class PairCounts {
  readonly #words: readonly CountedWord[];
  readonly #counts = new Map<string, number>();
  /** The words that a pair occurs in, or did. */
  readonly #wordsOfPair = new Map<string, Set<number>>();
  readonly #queue = new TinyQueue<{ readonly key: string; readonly count: number }>(
    [],
    (a, b) => b.count - a.count || (a.key < b.key ? -1 : 1),
  );

  constructor(words: readonly CountedWord[]) {
    this.#words = words;
    const changes = new Map<string, number>();
    for (const index of words.keys()) this.#count(index, 1, changes);
    this.#apply(changes);
  }

  mostFrequent(): Pair | undefined {
    for (let entry = this.#queue.pop(); entry !== undefined; entry = this.#queue.pop()) {
      // Every change of a count put a new entry into the queue: others are out of date.
      if (this.#counts.get(entry.key) !== entry.count) continue;
      const [left, right] = entry.key.split(' ') as [string, string];
      return { left, right, count: entry.count };
    }
    return undefined;
  }

  /** Joins the pair wherever it occurs. @returns the new piece */
  merge({ left, right }: Pair): string {
    const merged = left + right.slice(continuing.length);
    const changes = new Map<string, number>();
    for (const index of this.#wordsOfPair.get(`${left} ${right}`) ?? []) {
      const word = this.#words[index]!;
      const pieces = joined(word.pieces, left, right, merged);
      if (pieces.length === word.pieces.length) continue;
      this.#count(index, -1, changes);
      word.pieces = pieces;
      this.#count(index, 1, changes);
    }
    this.#wordsOfPair.delete(`${left} ${right}`);
    this.#apply(changes);
    return merged;
  }

  /** Adds the pairs of a word to the changes, or takes them away. */
  #count(index: number, sign: 1 | -1, changes: Map<string, number>): void {
    const { pieces, count } = this.#words[index]!;
    for (let i = 1; i < pieces.length; i++) {
      const key = `${pieces[i - 1]} ${pieces[i]}`;
      changes.set(key, (changes.get(key) ?? 0) + sign * count);
      if (sign === -1) continue;
      const known = this.#wordsOfPair.get(key);
      if (known) known.add(index);
      else this.#wordsOfPair.set(key, new Set([index]));
    }
  }

  /** One entry in the queue for each pair that changed, however many words it changed in. */
  #apply(changes: ReadonlyMap<string, number>): void {
    for (const [key, change] of changes) {
      if (change === 0) continue;
      const count = (this.#counts.get(key) ?? 0) + change;
      if (count > 0) this.#queue.push({ key, count });
      if (count > 0) this.#counts.set(key, count);
      else this.#counts.delete(key);
    }
  }
}

function joined(pieces: readonly string[], left: string, right: string, merged: string): string[] {
  const result: string[] = [];
  for (let i = 0; i < pieces.length; i++) {
    if (pieces[i] === left && pieces[i + 1] === right) {
      result.push(merged);
      i++;
    } else result.push(pieces[i]!);
  }
  return result;
}
