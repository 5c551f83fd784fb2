/**
 * BM25 (Robertson and Zaragoza, 2009): keyword search without a model. It uses the same inverted index as sparse
 * vectors.
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

/** Parameters of BM25, and the function that splits texts into words. */
export interface Bm25Settings {
  /**
   * Term frequency saturation: with 0, repetitions of a word do not count; the larger the value, the more they count.
   * @default 1.2
   */
  readonly k1?: number | undefined;
  /**
   * Length normalization: from 0 (none) to 1 (term frequencies are divided by the relative length of the document).
   * @default 0.75
   */
  readonly b?: number | undefined;
  /**
   * Splits a text into words. Must be the same function for documents and queries.
   * @default {@link unicodeWords}
   */
  readonly words?: ((text: string) => Iterable<string>) | undefined;
}

/** Options of {@link createBm25Index}. */
export interface Bm25Options extends Bm25Settings, SparseIndexOptions {}

export const bm25SettingNames: OptionNames<Bm25Settings> = { k1: true, b: true, words: true };
export const bm25OptionNames: OptionNames<Bm25Options> = { ...bm25SettingNames, signal: true, onProgress: true };
const searchOptionNames: OptionNames<SparseSearchOptions> = { topK: true, signal: true };

/** Maximum number of entries of a JavaScript `Map`. */
const maxWords = 2 ** 24 - 1;

/** An iterable or async iterable of texts. */
export type Texts = Iterable<string> | AsyncIterable<string>;

/** A BM25 index of texts. */
export interface Bm25Index {
  /** Number of documents. */
  readonly documents: number;
  /** Number of different words. */
  readonly words: number;
  /**
   * Finds the documents with the largest scores, best first; equal scores in the order of rows. The search is exact.
   * Documents that share no word with the query are not in the result.
   * @throws SentvecError `invalid-argument`, `invalid-text`, `aborted`; `io-failed` when the index is in files that
   * cannot be read
   */
  search(query: string, options?: SparseSearchOptions): Promise<SearchHit[]>;
  /**
   * The words of a query that occur in the index, with their weights (inverse document frequency), largest first.
   * Explains why documents match.
   */
  explain(query: string): { readonly term: string; readonly weight: number }[];
}

/** Runs of letters, digits and combining marks; in scripts that are written without spaces, single characters. */
const word =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]\p{M}*|(?:(?![\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}])[\p{L}\p{N}]\p{M}*)+/gu;

/**
 * The words of a text in order, lowercased and in Unicode normalization form NFKC. Words are runs of letters and
 * digits; in Han, Hiragana, Katakana, Thai, Lao, Khmer and Myanmar, which are written without spaces, each character is
 * a word.
 */
export function unicodeWords(text: string): string[] {
  return text.normalize('NFKC').toLowerCase().match(word) ?? [];
}

/**
 * Builds a BM25 index in memory. For larger corpora, `writeBm25Index` of `@sentvec/core/node` builds it in a folder.
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
 * Writes the segments of a BM25 index, one after the other. They contain the frequency of each word in each document,
 * and the length of each document in words.
 * @param vocabulary receives an index for each new word
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
        if (term >= maxWords)
          throw new SentvecError(
            'invalid-argument',
            `With row ${row}, the index has more than ${maxWords} different words, which is the maximum. Use a \`words\` function that gives fewer words.`,
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

/** A BM25 index over segments in memory or in files. */
export class WordIndex implements Bm25Index {
  readonly documents: number;
  readonly words: number;
  readonly #segments: readonly Segment[];
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #splitIntoWords: (text: string) => Iterable<string>;
  /** Document frequency of each word. */
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
    this.#splitIntoWords = words;
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
    const known = new Set([...wordsOf(query, this.#splitIntoWords, 0)].filter((each) => this.#vocabulary.has(each)));
    return [...known]
      .map((term) => ({ term, weight: weights.get(this.#vocabulary.get(term)!)! }))
      .sort((x, y) => y.weight - x.weight);
  }

  /**
   * The weight of each word of a query: its inverse document frequency log(1 + (N - n + 0.5) / (n + 0.5)), as in
   * Lucene, which is never negative. A repeated word counts several times.
   */
  #weights(query: string): Map<number, number> {
    const weights = new Map<number, number>();
    for (const each of wordsOf(query, this.#splitIntoWords, 0)) {
      const term = this.#vocabulary.get(each);
      if (term === undefined) continue;
      const n = this.#frequencies[term]!;
      const rarity = Math.log(1 + (this.documents - n + 0.5) / (n + 0.5));
      weights.set(term, (weights.get(term) ?? 0) + rarity);
    }
    return weights;
  }
}

/**
 * The score of a word that occurs f times in a document: f · (k1 + 1) / (f + k1 · (1 - b + b · length / average
 * length)).
 */
function saturation(segments: readonly Segment[], k1: number, b: number, averageLength: number): TermScoring {
  const norms = segments.map(({ lengths }) =>
    Float32Array.from(lengths!, (length) => k1 * (1 - b + (b * length) / Math.max(averageLength, Number.MIN_VALUE))),
  );
  return {
    // Slightly above the true bound, because of rounding errors in the terms.
    bound: () => (k1 + 1) * (1 + 1e-12),
    add: (scores, { documents, values }: Postings, weight, number) => {
      const segmentNorms = norms[number]!;
      for (let i = 0; i < documents.length; i += 1) {
        const document = documents[i]!;
        const frequency = values[i]!;
        scores[document]! += (weight * (k1 + 1) * frequency) / (frequency + segmentNorms[document]!);
      }
    },
  };
}
