/**
 * The model `BPE`: adjacent symbols are merged repeatedly, the pair with the lowest rank first (Sennrich et al. 2016,
 * https://arxiv.org/abs/1508.07909).
 */
import { bytePieces } from '../byte-level.ts';
import type { Component } from '../component.ts';
import { PriorityQueue } from './priority-queue.ts';
import { unknownCharacterError, type Model } from './model.ts';
import { PairTable } from './pair-table.ts';

type Vocabulary = Readonly<Record<string, number>>;

/**
 * @throws SentvecError `invalid-model` when a merge contains a token that is not in the vocabulary, `unsupported-model`
 */
export function createBytePairEncoding(fields: Component, vocabulary: Vocabulary, merges: unknown): Model {
  const model = new BytePairEncoding(fields, vocabulary, readMerges(fields, vocabulary, merges));
  return (word) => model.encode(word);
}

/** The merges: the rank of each pair of ids, and for each rank the id of the merged token. */
interface Merges {
  readonly ranks: PairTable;
  readonly merged: readonly number[];
}

/** Larger than any position in a word. */
const maxPositions = 2 ** 31;

class BytePairEncoding {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #merges: Merges;
  readonly #prefix: string;
  readonly #suffix: string;
  readonly #unknownToken: string | undefined;
  readonly #fusesUnknown: boolean;
  readonly #fallsBackToBytes: boolean;
  readonly #ignoresMerges: boolean;
  /**
   * Possible merges, as rank × 2^31 + position, so that the lowest rank comes first; equal ranks from left to right.
   */
  readonly #queue = new PriorityQueue();

  constructor(fields: Component, vocabulary: Vocabulary, merges: Merges) {
    this.#ids = new Map(Object.entries(vocabulary));
    this.#merges = merges;
    this.#prefix = fields.optionalString('continuing_subword_prefix') ?? '';
    this.#suffix = fields.optionalString('end_of_word_suffix') ?? '';
    this.#unknownToken = fields.optionalString('unk_token');
    this.#fusesUnknown = fields.optionalBoolean('fuse_unk') ?? false;
    this.#fallsBackToBytes = fields.optionalBoolean('byte_fallback') ?? false;
    this.#ignoresMerges = fields.optionalBoolean('ignore_merges') ?? false;
  }

  encode(word: string): readonly number[] {
    const whole = this.#ignoresMerges ? this.#ids.get(word) : undefined;
    return whole === undefined ? this.#merge(this.#symbols(word)) : [whole];
  }

  /**
   * The ids of a word's characters. Depending on the model, characters without an id are replaced by byte tokens or by
   * the unknown token, or are left out.
   */
  #symbols(word: string): number[] {
    const symbols: number[] = [];
    // As in the Rust tokenizers, the unknown token is added only before the next known character, after byte tokens in
    // between.
    let unknown: number | undefined;
    for (let at = 0; at < word.length;) {
      const width = word.codePointAt(at)! > 0xffff ? 2 : 1;
      const piece = this.#pieceAt(word, at, width);
      at += width;
      const id = this.#ids.get(piece);
      if (id !== undefined) {
        if (unknown !== undefined) symbols.push(unknown);
        unknown = undefined;
        symbols.push(id);
        continue;
      }
      const spelled = this.#fallsBackToBytes ? this.#bytesOf(piece) : undefined;
      if (spelled !== undefined) for (const symbol of spelled) symbols.push(symbol);
      else if (this.#unknownToken !== undefined) {
        if (unknown !== undefined && !this.#fusesUnknown) symbols.push(unknown);
        unknown = this.#ids.get(this.#unknownToken);
        if (unknown === undefined) throw unknownCharacterError();
      }
    }
    if (unknown !== undefined) symbols.push(unknown);
    return symbols;
  }

  #pieceAt(word: string, at: number, width: number): string {
    let piece = word.slice(at, at + width);
    if (at > 0 && this.#prefix !== '') piece = this.#prefix + piece;
    if (at + width === word.length && this.#suffix !== '') piece += this.#suffix;
    return piece;
  }

  #bytesOf(piece: string): number[] | undefined {
    const ids: number[] = [];
    for (const byte of bytePieces(piece)) {
      const id = this.#ids.get(byte);
      if (id === undefined) return undefined;
      ids.push(id);
    }
    return ids;
  }

  /** Applies all merges. Symbols form a linked list, so that each merge takes constant time. */
  #merge(symbols: number[]): number[] {
    const { length } = symbols;
    if (length < 2) return symbols;
    const { merged } = this.#merges;
    const queue = this.#queue;
    const next = Array.from(symbols, (_, position) => position + 1);
    const previous = Array.from(symbols, (_, position) => position - 1);
    for (let position = 0; position < length - 1; position += 1) this.#offer(symbols, position, position + 1);
    while (queue.size > 0) {
      const key = queue.pop();
      const position = key % maxPositions;
      const right = next[position]!;
      if (symbols[position] === -1 || right === length) continue;
      // Skip pairs of which a symbol was merged with another one since the pair was queued.
      const rank = this.#merges.ranks.get(symbols[position]!, symbols[right]!);
      if (rank === -1 || merged[rank] !== merged[Math.trunc(key / maxPositions)]) continue;
      symbols[position] = merged[rank]!;
      symbols[right] = -1;
      const following = next[right]!;
      next[position] = following;
      if (following < length) previous[following] = position;
      const before = previous[position]!;
      if (before !== -1) this.#offer(symbols, before, position);
      if (following < length) this.#offer(symbols, position, following);
    }
    return symbols.filter((symbol) => symbol !== -1);
  }

  #offer(symbols: readonly number[], position: number, right: number): void {
    const rank = this.#merges.ranks.get(symbols[position]!, symbols[right]!);
    if (rank !== -1) this.#queue.push(rank * maxPositions + position);
  }
}

/** @throws SentvecError as {@link createBytePairEncoding} */
export function readMerges(fields: Component, vocabulary: Vocabulary, merges: unknown): Merges {
  const dropout = fields.optionalNumber('dropout') ?? 0;
  if (dropout !== 0) throw fields.unsupported(`a dropout of ${dropout}, which makes tokenization random`);
  const prefix = fields.optionalString('continuing_subword_prefix') ?? '';
  const ranks = new PairTable();
  const merged: number[] = [];
  for (const [left, right] of pairs(fields, merges)) {
    if (!right.startsWith(prefix))
      throw fields.invalid(
        `has the merge of ${JSON.stringify(left)} and ${JSON.stringify(right)}, whose second part does not begin with "continuing_subword_prefix"`,
      );
    const whole = left + right.slice(prefix.length);
    const ids = [left, right, whole].map((piece) => (Object.hasOwn(vocabulary, piece) ? vocabulary[piece] : undefined));
    if (ids.includes(undefined))
      throw fields.invalid(
        `has the merge of ${JSON.stringify(left)} and ${JSON.stringify(right)}, but one of them or the merged token is not in the vocabulary`,
      );
    ranks.set(ids[0]!, ids[1]!, merged.push(ids[2]!) - 1);
  }
  return { ranks, merged };
}

/**
 * Reads the merges: lists of two strings or, in older files, strings with a space, of which the first may be a
 * `#version` comment.
 */
function* pairs(fields: Component, merges: unknown): Generator<readonly [string, string]> {
  if (!Array.isArray(merges)) throw fields.invalid('has no list of "merges"');
  const areStrings = typeof merges[0] === 'string';
  for (const merge of merges as readonly unknown[]) {
    if (areStrings && typeof merge === 'string' && merge.startsWith('#version')) continue;
    const pair: unknown = areStrings && typeof merge === 'string' ? merge.split(' ') : merge;
    const isPair = Array.isArray(pair) && pair.length === 2 && pair.every((piece) => typeof piece === 'string');
    if (!isPair || areStrings !== (typeof merge === 'string'))
      throw fields.invalid(
        `has the merge ${JSON.stringify(merge).slice(0, 100)}, which does not consist of two tokens`,
      );
    yield pair as unknown as readonly [string, string];
  }
}
