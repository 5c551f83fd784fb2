// Trains the vocabulary of a WordPiece tokenizer on texts.
import TinyQueue from 'tinyqueue';
import { SentvecError } from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';

/** The special tokens of BERT. They get the first ids. */
const specialTokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];

/** Prefix of a piece that does not begin a word. */
const continuing = '##';

/** Options of {@link trainWordPiece}. */
export interface WordPieceOptions {
  /**
   * Maximum size of the vocabulary, including special tokens. It is smaller if no pairs are left to merge.
   * @default 8000
   */
  readonly size?: number | undefined;
  /** Pairs that occur less often are not merged. @default 2 */
  readonly minFrequency?: number | undefined;
}

/**
 * Trains a WordPiece vocabulary: splits texts into words as BERT's tokenizer does (lower case, no accents, punctuation
 * separate), then repeatedly merges the most frequent pair of adjacent pieces (Sennrich et al., 2016), as the
 * tokenizers library trains WordPiece. Deterministic: among equally frequent pairs, the first in UTF-16 order is
 * merged.
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
      `The texts need ${alphabet.length} single-character pieces and ${specialTokens.length} special tokens, but the vocabulary size is ${size}. Make it larger.`,
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

/** Counts adjacent pairs of pieces, and updates the counts while pairs are merged. */
class PairCounts {
  readonly #words: readonly CountedWord[];
  readonly #counts = new Map<string, number>();
  /** Indices of the words that contain a pair, or contained it before a merge. */
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
      // Every change of a count adds a new entry, so an entry with another count is outdated.
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

  /** Adds the pair counts of a word to `changes`, or subtracts them. */
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

  /** Applies changes to the counts, with one queue entry per changed pair. */
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
