/**
 * The model `Unigram`: finds the segmentation with the largest sum of token scores, with the Viterbi algorithm (Kudo
 * 2018, https://arxiv.org/abs/1804.10959).
 */
import { bytePieces } from '../byte-level.ts';
import type { Component } from '../component.ts';
import { unknownCharacterError, type Model } from './model.ts';
import { Trie } from './trie.ts';

/** Tokens ("pieces" in SentencePiece) with their scores. The index of a piece is its id. */
type ScoredPieces = readonly (readonly [string, number])[];

/**
 * The score of an unknown character is the lowest score of all pieces minus this number: `K_UNK_PENALTY` of
 * SentencePiece.
 */
const unknownPenalty = 10;

/** @throws SentvecError `invalid-model` */
export function createUnigram(fields: Component, pieces: ScoredPieces): Model {
  const model = new Unigram(fields, pieces);
  return (word) => model.encode(word);
}

class Unigram {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #trie: Trie;
  readonly #scores: Float64Array;
  readonly #unknownScore: number;
  readonly #unknownId: number;
  readonly #fallsBackToBytes: boolean;
  /** The best path to each position: start of its last piece (-1: no path), id of that piece, and score of the path. */
  #starts = new Int32Array(64);
  #pieceIds = new Int32Array(64);
  #pathScores = new Float64Array(64);

  constructor(fields: Component, pieces: ScoredPieces) {
    this.#unknownId = fields.optionalWholeNumber('unk_id') ?? -1;
    if (this.#unknownId >= pieces.length) throw fields.invalid('has an "unk_id" beyond the vocabulary');
    this.#fallsBackToBytes = fields.boolean('byte_fallback', false);
    this.#ids = new Map(pieces.map(([piece], id) => [piece, id]));
    this.#scores = Float64Array.from(pieces, ([, score]) => score);
    this.#unknownScore = this.#scores.reduce((least, score) => Math.min(least, score), Infinity) - unknownPenalty;
    this.#trie = new Trie();
    for (const [id, [piece]] of pieces.entries()) this.#trie.add(piece, id);
  }

  encode(text: string): number[] {
    this.#findBestPath(text);
    const cuts: number[] = [];
    for (let end = text.length; end > 0; end = this.#starts[end]!) cuts.push(end);
    const ids: number[] = [];
    let start = 0;
    let unknownStart = -1;
    for (let index = cuts.length - 1; index >= 0; index -= 1) {
      const end = cuts[index]!;
      const id = this.#pieceIds[end]!;
      if (id === this.#unknownId) {
        if (unknownStart === -1) unknownStart = start;
      } else {
        if (unknownStart !== -1) this.#addUnknown(text.slice(unknownStart, start), ids);
        unknownStart = -1;
        ids.push(id);
      }
      start = end;
    }
    if (unknownStart !== -1) this.#addUnknown(text.slice(unknownStart), ids);
    return ids;
  }

  /**
   * Adds a run of unknown characters: as one piece, if it is one; as bytes, with byte fallback; otherwise as one
   * unknown token.
   */
  #addUnknown(text: string, ids: number[]): void {
    const whole = this.#ids.get(text);
    const bytes =
      whole === undefined && this.#fallsBackToBytes ? bytePieces(text).map((byte) => this.#ids.get(byte)) : [];
    if (bytes.length === 0 || bytes.includes(undefined)) ids.push(whole ?? this.#unknownId);
    else for (const id of bytes) ids.push(id!);
  }

  #findBestPath(text: string): void {
    const { length } = text;
    if (length >= this.#starts.length) this.#grow(length + 1);
    const trie = this.#trie;
    this.#starts.fill(-1, 0, length + 1);
    this.#pathScores[0] = 0;
    for (let start = 0; start < length;) {
      const unit = text.charCodeAt(start);
      const width = unit >= 0xd800 && unit < 0xdc00 ? 2 : 1;
      let isPiece = false;
      let node = 0;
      for (let end = start; end < length;) {
        node = trie.next(node, text.charCodeAt(end));
        if (node === -1) break;
        end += 1;
        const id = trie.valueAt(node);
        if (id === -1) continue;
        this.#extend(start, end, id, this.#scores[id]!);
        if (end === start + width) isPiece = true;
      }
      if (!isPiece) this.#extend(start, start + width, this.#unknownId, this.#unknownScore);
      start += width;
    }
  }

  #extend(start: number, end: number, id: number, score: number): void {
    const total = this.#pathScores[start]! + score;
    if (this.#starts[end] !== -1 && !(total > this.#pathScores[end]!)) return;
    if (id === -1) throw unknownCharacterError();
    this.#starts[end] = start;
    this.#pathScores[end] = total;
    this.#pieceIds[end] = id;
  }

  #grow(length: number): void {
    const size = Math.max(length, this.#starts.length * 2);
    this.#starts = new Int32Array(size);
    this.#pieceIds = new Int32Array(size);
    this.#pathScores = new Float64Array(size);
  }
}
