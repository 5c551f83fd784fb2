import { SentvecError } from '../../errors.ts';
import type { TokenizerModel } from '../tokenizer-json.ts';
import { bytePieces } from './byte-pieces.ts';
import type { LibraryModel } from './library.ts';
import { MergeQueue } from './merge-queue.ts';
import { WordCache } from './word-cache.ts';

/** Ids are below 2^22. */
const idLimit = 2 ** 22;

/** What two neighbouring symbols become, and how early. */
interface Merge {
  readonly rank: number;
  readonly merged: number;
}

/**
 * The model `BPE`, in place of the library's, which needs 10 s and more than a gigabyte for a million characters
 * without a space. The result is what a model of the library is: a function from words to tokens, with the ids of the
 * tokens.
 * @throws SentvecError `invalid-model` when a merge names a piece that is not in the vocabulary
 */
export function createBpeModel(model: TokenizerModel): LibraryModel {
  const bpe = new BytePairEncoding(model);
  return Object.assign((words: readonly string[]) => bpe.encode(words), {
    tokens_to_ids: bpe.ids,
    unk_token_id: bpe.unknownId,
  });
}

/** Byte pair encoding (Sennrich et al. 2016): symbols that are neighbours are merged, the pair of lowest rank first. */
class BytePairEncoding {
  readonly ids: Map<string, number>;
  readonly unknownId: number | undefined;
  readonly #pieces: string[] = [];
  /** By left id × 2^22 + right id. */
  readonly #merges: Map<number, Merge>;
  readonly #prefix: string;
  readonly #suffix: string;
  readonly #model: TokenizerModel;
  readonly #known = new WordCache();

  constructor(model: TokenizerModel) {
    this.ids = new Map(Object.entries(model.vocab as Readonly<Record<string, number>>));
    for (const [piece, id] of this.ids) this.#pieces[id] = piece;
    this.#prefix = (model['continuing_subword_prefix'] as string | null | undefined) ?? '';
    this.#suffix = (model['end_of_word_suffix'] as string | null | undefined) ?? '';
    this.#model = model;
    this.unknownId = this.ids.get(model['unk_token'] as string);
    this.#merges = this.#readMerges((model['merges'] ?? []) as readonly (string | readonly [string, string])[]);
  }

  encode(words: readonly string[]): string[] {
    const tokens: string[] = [];
    for (const word of words)
      for (const token of this.#known.get(word, (unknown) => this.#encodeWord(unknown))) tokens.push(token);
    return tokens;
  }

  #encodeWord(word: string): string[] {
    if (this.#model['ignore_merges'] === true && this.ids.has(word)) return [word];
    return this.#merge(this.#symbols(word)).map((id) => this.#pieces[id]!);
  }

  /**
   * The ids of a word's characters. Those without one are spelled by bytes, or unknown, or left out, as the model says.
   */
  #symbols(word: string): number[] {
    const symbols: number[] = [];
    const characters = Array.from(word);
    let afterUnknown = false;
    for (const [index, character] of characters.entries()) {
      const piece =
        (index === 0 ? '' : this.#prefix) + character + (index === characters.length - 1 ? this.#suffix : '');
      const id = this.ids.get(piece);
      const spelled = id === undefined ? this.#spell(piece) : [id];
      if (spelled === undefined && this.unknownId !== undefined && !(afterUnknown && this.#model['fuse_unk'] === true))
        symbols.push(this.unknownId);
      for (const symbol of spelled ?? []) symbols.push(symbol);
      afterUnknown = spelled === undefined ? this.unknownId !== undefined : id === undefined && afterUnknown;
    }
    return symbols;
  }

  #spell(piece: string): number[] | undefined {
    if (this.#model['byte_fallback'] !== true) return undefined;
    const ids = bytePieces(piece).map((byte) => this.ids.get(byte));
    return ids.every((id) => id !== undefined) ? ids : undefined;
  }

  /** Symbols are a linked list over their places, so that a merge costs the same wherever it is. */
  #merge(symbols: number[]): number[] {
    const { length } = symbols;
    const next = Int32Array.from(symbols, (_, place) => (place + 1 < length ? place + 1 : -1));
    const previous = Int32Array.from(symbols, (_, place) => place - 1);
    const queue = new MergeQueue();
    const offer = (place: number): void => {
      const merge = next[place] === -1 ? undefined : this.#mergeOf(symbols[place]!, symbols[next[place]!]!);
      if (merge) queue.push(merge.rank, place, merge.merged);
    };
    for (let place = 0; place < length; place += 1) offer(place);
    while (queue.size > 0) {
      const { place, merged } = queue.pop();
      const right = next[place]!;
      if (symbols[place] === -1 || right === -1 || this.#mergeOf(symbols[place]!, symbols[right]!)?.merged !== merged)
        continue;
      symbols[place] = merged;
      symbols[right] = -1;
      next[place] = next[right]!;
      if (next[place] !== -1) previous[next[place]] = place;
      if (previous[place] !== -1) offer(previous[place]!);
      offer(place);
    }
    return symbols.filter((symbol) => symbol !== -1);
  }

  #mergeOf(left: number, right: number): Merge | undefined {
    return this.#merges.get(left * idLimit + right);
  }

  #readMerges(merges: readonly (string | readonly [string, string])[]): Map<number, Merge> {
    const result = new Map<number, Merge>();
    for (const [rank, entry] of merges.entries()) {
      const [left = '', right = ''] = typeof entry === 'string' ? entry.split(' ') : entry;
      const ids = [left, right, left + right.slice(this.#prefix.length)].map((piece) => this.ids.get(piece));
      if (ids.some((id) => id === undefined)) {
        throw new SentvecError(
          'invalid-model',
          `merge ${rank} of "${left}" and "${right}" is of pieces outside the vocabulary`,
        );
      }
      result.set(ids[0]! * idLimit + ids[1]!, { rank, merged: ids[2]! });
    }
    return result;
  }
}
