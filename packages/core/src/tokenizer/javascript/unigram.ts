import type { TokenizerModel } from '../tokenizer-json.ts';
import { bytePieces } from './byte-pieces.ts';
import type { LibraryModel } from './library.ts';

/**
 * Below the least probable piece: the score of a character that is in no piece. (`K_UNK_PENALTY` of the Rust
 * tokenizers.)
 */
const unknownPenalty = 10;

/** Slots of a node in the arrays of a trie. */
interface Trie {
  /** For a node and a character, the next node: the key is node × 2^21 + code point. */
  readonly next: Map<number, number>;
  /** Id of the piece that ends at a node; -1 for none. */
  readonly pieceAt: number[];
}

/**
 * The model `Unigram`, in place of the library's, which needs gigabytes for a long text and fails beyond some 100,000
 * pieces. The result is what a model of the library is: a function from texts to tokens, with the ids of the tokens.
 */
export function createUnigramModel(model: TokenizerModel): LibraryModel {
  const unigram = new Unigram(model);
  const unknownId = model['unk_id'] as number | null | undefined;
  return Object.assign((texts: readonly string[]) => unigram.encode(texts), {
    tokens_to_ids: unigram.ids,
    unk_token_id: unknownId ?? undefined,
  });
}

/**
 * Of all ways to cut a text into pieces, the one with the largest sum of scores (Kudo 2018, by Viterbi's algorithm).
 */
class Unigram {
  /** Ids of the pieces. */
  readonly ids: Map<string, number>;
  readonly #trie: Trie;
  readonly #scores: Float64Array;
  readonly #unknownScore: number;
  readonly #unknownId: number;
  readonly #byteFallback: boolean;

  constructor(model: TokenizerModel) {
    const entries = model.vocab as readonly (readonly [string, number])[];
    this.ids = new Map(entries.map(([piece], id) => [piece, id]));
    this.#unknownId = (model['unk_id'] as number | null | undefined) ?? -1;
    this.#byteFallback = model['byte_fallback'] === true;
    this.#scores = Float64Array.from(entries, ([, score]) => score);
    this.#unknownScore = this.#scores.reduce((least, score) => Math.min(least, score), Infinity) - unknownPenalty;
    this.#trie = buildTrie(entries.map(([piece]) => piece));
  }

  /** Pieces of the texts; characters in no piece as their bytes or as they are, together where they are neighbours. */
  encode(texts: readonly string[]): string[] {
    const pieces: string[] = [];
    for (const text of texts) this.#encodeText(text, pieces);
    return pieces;
  }

  #encodeText(text: string, pieces: string[]): void {
    const { starts, ids } = this.#bestPath(text);
    const cuts: number[] = [];
    for (let end = text.length; end > 0; end = starts[end]!) cuts.push(end);
    let start = 0;
    let unknownStart = -1;
    for (const end of cuts.toReversed()) {
      const isUnknown = ids[end] === this.#unknownId;
      if (isUnknown && unknownStart === -1) unknownStart = start;
      if (!isUnknown && unknownStart !== -1) {
        this.#addUnknown(text.slice(unknownStart, start), pieces);
        unknownStart = -1;
      }
      if (!isUnknown) pieces.push(text.slice(start, end));
      start = end;
    }
    if (unknownStart !== -1) this.#addUnknown(text.slice(unknownStart), pieces);
  }

  #addUnknown(text: string, pieces: string[]): void {
    const bytes = this.#byteFallback && !this.ids.has(text) ? bytePieces(text) : [];
    if (bytes.length > 0 && bytes.every((piece) => this.ids.has(piece))) for (const piece of bytes) pieces.push(piece);
    else pieces.push(text);
  }

  /** For each place in the text where a best path ends: where its last piece starts, and the id of that piece. */
  #bestPath(text: string): { readonly starts: Int32Array; readonly ids: Int32Array } {
    const starts = new Int32Array(text.length + 1).fill(-1);
    const ids = new Int32Array(text.length + 1);
    const scores = new Float64Array(text.length + 1);
    const extend = (start: number, end: number, id: number, score: number): void => {
      const total = scores[start]! + score;
      if (starts[end] !== -1 && total <= scores[end]!) return;
      starts[end] = start;
      scores[end] = total;
      ids[end] = id;
    };
    for (let start = 0; start < text.length;) {
      const width = text.codePointAt(start)! > 0xffff ? 2 : 1;
      let single = false;
      let node = 0;
      for (let end = start; end < text.length;) {
        const code = text.codePointAt(end)!;
        node = this.#trie.next.get(node * 2 ** 21 + code) ?? -1;
        if (node === -1) break;
        end += code > 0xffff ? 2 : 1;
        const id = this.#trie.pieceAt[node]!;
        if (id === -1) continue;
        extend(start, end, id, this.#scores[id]!);
        single ||= end === start + width;
      }
      if (!single) extend(start, start + width, this.#unknownId, this.#unknownScore);
      start += width;
    }
    return { starts, ids };
  }
}

function buildTrie(pieces: readonly string[]): Trie {
  const next = new Map<number, number>();
  const pieceAt = [-1];
  for (const [id, piece] of pieces.entries()) {
    let node = 0;
    for (const character of piece) {
      const key = node * 2 ** 21 + character.codePointAt(0)!;
      let child = next.get(key);
      if (child === undefined) {
        child = pieceAt.push(-1) - 1;
        next.set(key, child);
      }
      node = child;
    }
    if (node !== 0) pieceAt[node] = id;
  }
  return { next, pieceAt };
}
