/**
 * BM25 (Robertson and Zaragoza, 2009): search by words, for corpora without a model, in an inverted index as sparse
 * vectors have it.
 */
import { checkOptionNames, shouldYield, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { SearchHit } from '../search/top-rows.ts';
import { Segment, type Postings } from './index-segment.ts';
import {
  partsInMemory,
  searchSegments,
  segmentsOf,
  type IndexedDocument,
  type SparseIndexOptions,
  type SparseSearchOptions,
  type TermScoring,
} from './sparse-index.ts';
import type { SparseVector } from './sparse-vector.ts';

/** How BM25 scores, and what its words are. */
export interface Bm25Settings {
  /**
   * How soon a word counts no more for being repeated: 0 at once, larger values later.
   * @default 1.2
   */
  readonly k1?: number | undefined;
  /**
   * How far long documents are marked down: from 0, not at all, to 1, in proportion to their length.
   * @default 0.75
   */
  readonly b?: number | undefined;
  /**
   * Cuts a text into words. Documents and queries must be cut alike.
   * @default {@link unicodeWords}
   */
  readonly words?: ((text: string) => Iterable<string>) | undefined;
}

/** Options of {@link createBm25Index}. */
export interface Bm25Options extends Bm25Settings, SparseIndexOptions {}

export const bm25SettingNames: OptionNames<Bm25Settings> = { k1: true, b: true, words: true };
export const bm25OptionNames: OptionNames<Bm25Options> = { ...bm25SettingNames, signal: true, onProgress: true };
const searchOptionNames: OptionNames<SparseSearchOptions> = { topK: true, signal: true };

/** A map of JavaScript holds no more. */
const mostWords = 2 ** 24 - 1;

/** Texts, as they come. */
export type Texts = Iterable<string> | AsyncIterable<string>;

/** Texts by their words. */
export interface Bm25Index {
  /** Number of documents. */
  readonly documents: number;
  /** Number of different words. */
  readonly words: number;
  /**
   * The documents with the largest scores, best first, of equal ones the lowest rows first. Exact. Documents that share
   * no word with the query are not in the answer.
   * @throws SentvecError `invalid-argument`, `invalid-text`, `aborted`; `io-failed` when its files cannot be read
   */
  search(query: string, options?: SparseSearchOptions): Promise<SearchHit[]>;
  /** The words of a query that documents have, with what they weigh: rare words most. Why did this match? */
  explain(query: string): { readonly term: string; readonly weight: number }[];
}

/** Runs of letters, digits and their marks; in scripts that put no spaces between words, each character. */
const word =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]\p{M}*|(?:(?![\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}])[\p{L}\p{N}]\p{M}*)+/gu;

/**
 * The words of a text in order, in lower case and in the compatible form of Unicode (NFKC): runs of letters and digits; of
 * Han, Hiragana, Katakana, Thai, Lao, Khmer and Myanmar, where no spaces separate words, each character.
 */
export function unicodeWords(text: string): string[] {
  return text.normalize('NFKC').toLowerCase().match(word) ?? [];
}

/**
 * Builds an index of texts in memory. For more than fit, `writeBm25Index` of `@sentvec/core/node` builds it in a folder.
 * @throws SentvecError `invalid-argument`, `invalid-text` (details.row), `aborted`, and what `texts` throws
 */
export async function createBm25Index(texts: Texts, options: Bm25Options = {}): Promise<Bm25Index> {
  checkOptionNames('createBm25Index()', options, bm25OptionNames);
  checkSettings(options);
  const segments: Segment[] = [];
  const vocabulary = new Map<string, number>();
  for await (const bytes of writeTextSegments(texts, vocabulary, options))
    segments.push(new Segment(partsInMemory(bytes), 'index'));
  return new WordIndex(segments, vocabulary, options);
}

/** @throws SentvecError `invalid-argument` */
export function checkSettings({ k1 = 1.2, b = 0.75 }: Bm25Settings): void {
  if (!(k1 >= 0 && Number.isFinite(k1)))
    throw new SentvecError('invalid-argument', `k1 is ${k1}; it must be a number of at least 0.`);
  if (!(b >= 0 && b <= 1)) throw new SentvecError('invalid-argument', `b is ${b}; it must be a number from 0 to 1.`);
}

/**
 * The segments of an index of texts, one after the other: for each word of a document how often it has it, and the number
 * of its words.
 * @param vocabulary gets a number for each word
 */
export function writeTextSegments(
  texts: Texts,
  vocabulary: Map<string, number>,
  { words = unicodeWords, ...options }: Bm25Options,
): AsyncGenerator<Uint8Array, void, undefined> {
  const documents = async function* (): AsyncGenerator<IndexedDocument, void, undefined> {
    let row = 0;
    for await (const text of texts) {
      const counts = new Map<number, number>();
      let length = 0;
      for (const each of wordsOf(text, words, row)) {
        const term = vocabulary.get(each) ?? vocabulary.size;
        if (term >= mostWords)
          throw new SentvecError(
            'invalid-argument',
            `Row ${row} brings the number of different words above ${mostWords}, the most that an index has. Cut texts into fewer words (\`words\`).`,
            { row },
          );
        vocabulary.set(each, term);
        counts.set(term, (counts.get(term) ?? 0) + 1);
        length += 1;
      }
      yield { vector: vectorOf(counts), length };
      row += 1;
    }
  };
  return segmentsOf(documents(), true, options);
}

function wordsOf(text: unknown, words: (text: string) => Iterable<string>, row: number): Iterable<string> {
  if (typeof text === 'string') return words(text);
  throw new SentvecError('invalid-text', `Row ${row} is of type ${typeof text}, not a text. Leave it out.`, { row });
}

function vectorOf(weights: ReadonlyMap<number, number>): SparseVector {
  const indices = Int32Array.from(weights.keys()).sort();
  return { indices, values: Float32Array.from(indices, (index) => weights.get(index)!) };
}

/** An index of texts over segments, wherever they are. */
export class WordIndex implements Bm25Index {
  readonly documents: number;
  readonly words: number;
  readonly #segments: readonly Segment[];
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #cut: (text: string) => Iterable<string>;
  /** How many documents have each word. */
  readonly #frequencies: Uint32Array;
  readonly #scoring: TermScoring;

  constructor(
    segments: readonly Segment[],
    vocabulary: ReadonlyMap<string, number>,
    { k1 = 1.2, b = 0.75, words = unicodeWords }: Bm25Settings,
  ) {
    this.documents = segments.reduce((sum, segment) => sum + segment.documents, 0);
    this.words = vocabulary.size;
    this.#segments = segments;
    this.#vocabulary = vocabulary;
    this.#cut = words;
    this.#frequencies = new Uint32Array(vocabulary.size);
    let length = 0;
    for (const { terms, counts, lengths } of segments) {
      for (const [position, term] of terms.entries()) this.#frequencies[term]! += counts[position]!;
      for (const each of lengths!) length += each;
    }
    this.#scoring = saturation(segments, k1, b, length / Math.max(1, this.documents));
  }

  async search(query: string, options: SparseSearchOptions = {}): Promise<SearchHit[]> {
    checkOptionNames('search()', options, searchOptionNames);
    if (shouldYield()) await yieldToEventLoop();
    return searchSegments(this.#segments, vectorOf(this.#weights(query)), options, this.#scoring);
  }

  explain(query: string): { readonly term: string; readonly weight: number }[] {
    const weights = this.#weights(query);
    const known = new Set([...wordsOf(query, this.#cut, 0)].filter((each) => this.#vocabulary.has(each)));
    return [...known]
      .map((term) => ({ term, weight: weights.get(this.#vocabulary.get(term)!)! }))
      .sort((x, y) => y.weight - x.weight);
  }

  /** What each word of a query weighs: log(1 + (N - n + 0.5) / (n + 0.5)), which is never negative, as in Lucene. */
  #weights(query: string): Map<number, number> {
    const weights = new Map<number, number>();
    for (const each of wordsOf(query, this.#cut, 0)) {
      const term = this.#vocabulary.get(each);
      if (term === undefined) continue;
      const n = this.#frequencies[term]!;
      const rarity = Math.log(1 + (this.documents - n + 0.5) / (n + 0.5));
      weights.set(term, (weights.get(term) ?? 0) + rarity);
    }
    return weights;
  }
}

/** f · (k1 + 1) / (f + k1 · (1 - b + b · length / average length)), of a word that a document has f times. */
function saturation(segments: readonly Segment[], k1: number, b: number, averageLength: number): TermScoring {
  const norms = segments.map(({ lengths }) =>
    Float32Array.from(lengths!, (length) => k1 * (1 - b + (b * length) / Math.max(averageLength, Number.MIN_VALUE))),
  );
  return {
    // A little more than there can be, for the rounding of the terms.
    bound: () => (k1 + 1) * (1 + 1e-12),
    add: (scores, { documents, values }: Postings, weight, number) => {
      const ofSegment = norms[number]!;
      for (let i = 0; i < documents.length; i += 1) {
        const document = documents[i]!;
        const frequency = values[i]!;
        scores[document]! += (weight * (k1 + 1) * frequency) / (frequency + ofSegment[document]!);
      }
    },
  };
}
