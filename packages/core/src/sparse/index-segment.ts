/**
 * A segment of an inverted index: the postings of up to 65,536 consecutive documents. The bytes are the same in memory
 * and in a file. Of a file, only the postings of a query's terms are read.
 */
import { SentvecError } from '../errors.ts';
import type { FileParts } from '../types.ts';
import type { SparseVector } from './sparse-vector.ts';

/** Maximum number of documents of a segment: their numbers within the segment have 16 bits. */
export const segmentDocuments: number = 2 ** 16;

/**
 * Number of postings at which a segment is complete even if it has fewer documents. Building such a segment needs about
 * 200 MB.
 */
const maxPostings = 2 ** 24;

const magic = 0x53_56_53_31;
const headerWords = 4;

/** The documents that contain a term, with its weight in each. */
export interface Postings {
  /** Numbers of the documents within the segment, ascending. */
  readonly documents: Uint16Array;
  readonly values: Float32Array;
}

/** Collects documents, and writes them as a segment. */
export class SegmentBuilder {
  #terms = new Int32Array(2 ** 16);
  #values = new Float32Array(2 ** 16);
  #documents = new Uint16Array(2 ** 16);
  readonly #lengths: number[] = [];
  readonly #hasLengths: boolean;
  #postings = 0;
  #largestTerm = -1;

  /** @param hasLengths whether a length is stored for each document */
  constructor(hasLengths: boolean) {
    this.#hasLengths = hasLengths;
  }

  get documents(): number {
    return this.#lengths.length;
  }

  get isFull(): boolean {
    return this.documents === segmentDocuments || this.#postings >= maxPostings;
  }

  add({ indices, values }: SparseVector, length = 0): void {
    const document = this.documents;
    this.#reserve(indices.length);
    this.#terms.set(indices, this.#postings);
    this.#values.set(values, this.#postings);
    this.#documents.fill(document, this.#postings, this.#postings + indices.length);
    this.#postings += indices.length;
    this.#largestTerm = Math.max(this.#largestTerm, indices.at(-1) ?? -1);
    this.#lengths.push(length);
  }

  /** The bytes of the segment. */
  finish(): Uint8Array {
    const counts = new Uint32Array(this.#largestTerm + 1);
    for (let i = 0; i < this.#postings; i += 1) counts[this.#terms[i]!]! += 1;
    const terms = Int32Array.from(counts.keys()).filter((term) => counts[term]! > 0);
    const layout = layoutOf(
      Uint32Array.from(terms, (term) => counts[term]!),
      this.documents,
      this.#hasLengths,
    );
    const buffer = new ArrayBuffer(layout.size);
    new Uint32Array(buffer, 0, headerWords).set([magic, terms.length, this.documents, Number(this.#hasLengths)]);
    new Int32Array(buffer, layout.terms, terms.length).set(terms);
    new Uint32Array(buffer, layout.counts, terms.length).set(layout.countOf);
    if (this.#hasLengths) new Float32Array(buffer, layout.lengths, this.documents).set(this.#lengths);
    this.#writePostings(buffer, terms, layout);
    return new Uint8Array(buffer);
  }

  #writePostings(buffer: ArrayBuffer, terms: Int32Array, layout: Layout): void {
    const maxima = new Float32Array(buffer, layout.maxima, terms.length);
    const floats = new Float32Array(buffer, 0, buffer.byteLength >> 2);
    const shorts = new Uint16Array(buffer);
    // For each term, the positions of its next value and of its next document number.
    const nextValue = new Float64Array(this.#largestTerm + 1);
    const nextDocument = new Float64Array(this.#largestTerm + 1);
    const positionOf = new Uint32Array(this.#largestTerm + 1);
    for (const [position, term] of terms.entries()) {
      positionOf[term] = position;
      nextValue[term] = layout.starts[position]! / 4;
      nextDocument[term] = layout.starts[position]! / 2 + 2 * layout.countOf[position]!;
    }
    for (let i = 0; i < this.#postings; i += 1) {
      const term = this.#terms[i]!;
      const value = this.#values[i]!;
      floats[nextValue[term]!++] = value;
      shorts[nextDocument[term]!++] = this.#documents[i]!;
      const position = positionOf[term]!;
      if (value > maxima[position]!) maxima[position] = value;
    }
  }

  #reserve(count: number): void {
    const needed = this.#postings + count;
    if (needed <= this.#terms.length) return;
    const capacity = Math.max(needed, 2 * this.#terms.length);
    this.#terms = grown(this.#terms, new Int32Array(capacity));
    this.#values = grown(this.#values, new Float32Array(capacity));
    this.#documents = grown(this.#documents, new Uint16Array(capacity));
  }
}

function grown<Numbers extends Int32Array | Float32Array | Uint16Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}

/** Byte offsets of the parts of a segment. */
interface Layout {
  readonly terms: number;
  readonly counts: number;
  readonly maxima: number;
  readonly lengths: number;
  /** Number of postings of each term. */
  readonly countOf: Uint32Array;
  /** Offset of the postings of each term; the last entry is the end of all postings. */
  readonly starts: Float64Array;
  readonly size: number;
}

/**
 * Size of the postings of a term: 4 bytes for each value and 2 for each document number, rounded up to 4 bytes, so that
 * all values are aligned.
 */
function postingsBytes(count: number): number {
  return 4 * count + 4 * Math.ceil(count / 2);
}

function layoutOf(countOf: Uint32Array, documents: number, hasLengths: boolean): Layout {
  const count = countOf.length;
  const terms = 4 * headerWords;
  const [counts, maxima, lengths] = [terms + 4 * count, terms + 8 * count, terms + 12 * count];
  const starts = new Float64Array(count + 1);
  starts[0] = lengths + (hasLengths ? 4 * documents : 0);
  for (let position = 0; position < count; position += 1)
    starts[position + 1] = starts[position]! + postingsBytes(countOf[position]!);
  return { terms, counts, maxima, lengths, countOf, starts, size: starts[count]! };
}

/**
 * A segment for searching. Of a file, only the list of terms, with their document counts and largest values, is kept in
 * memory.
 */
export class Segment {
  readonly documents: number;
  /** The terms that occur in the segment, ascending. */
  readonly terms: Int32Array;
  /** Document frequency of each term. */
  readonly counts: Uint32Array;
  /** The largest value of each term. */
  readonly maxima: Float32Array;
  /** The length of each document, if the index stores lengths. */
  readonly lengths: Float32Array | undefined;
  readonly #name: string;
  readonly #read: FileParts['read'];
  readonly #starts: Float64Array;

  /**
   * @param name name of the file, for messages
   * @throws SentvecError `invalid-output` for bytes that are not a segment
   */
  constructor({ size, read }: FileParts, name: string) {
    this.#name = name;
    const fail = (): never => this.#fail();
    const part = (begin: number, end: number): ArrayBuffer => (end > size ? fail() : aligned(read(begin, end)));
    const [found, count, documents, hasLengths] = new Uint32Array(part(0, 4 * headerWords));
    if (found !== magic || documents! > segmentDocuments || hasLengths! > 1) fail();
    const empty = layoutOf(new Uint32Array(count! < size / 12 ? count! : fail()), documents!, hasLengths === 1);
    this.documents = documents!;
    this.terms = new Int32Array(part(empty.terms, empty.counts));
    this.counts = new Uint32Array(part(empty.counts, empty.maxima));
    this.maxima = new Float32Array(part(empty.maxima, empty.lengths));
    this.lengths = hasLengths === 1 ? new Float32Array(part(empty.lengths, empty.starts[0]!)) : undefined;
    const layout = layoutOf(this.counts, documents!, hasLengths === 1);
    const isAscending = this.terms.every((term, position) => term > (position === 0 ? -1 : this.terms[position - 1]!));
    if (layout.size !== size || !isAscending) fail();
    this.#starts = layout.starts;
    this.#read = read;
  }

  #fail(): never {
    throw new SentvecError(
      'invalid-output',
      `${this.#name} is damaged, or is not part of an index. Build the index again.`,
      { file: this.#name },
    );
  }

  /** The position of a term in `terms`; -1 when no document contains it. */
  positionOf(term: number): number {
    const { terms } = this;
    let [low, high] = [0, terms.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (terms[middle]! < term) low = middle + 1;
      else high = middle;
    }
    return terms[low] === term ? low : -1;
  }

  /**
   * The postings of the term at a position in `terms`. Reads synchronously from disk.
   * @throws SentvecError `io-failed`
   */
  postings(position: number): Postings {
    const count = this.counts[position]!;
    const bytes = this.#read(this.#starts[position]!, this.#starts[position + 1]!);
    const { buffer, byteOffset } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
    const documents = new Uint16Array(buffer, byteOffset + 4 * count, count);
    if (documents[count - 1]! >= this.documents) this.#fail();
    return { documents, values: new Float32Array(buffer, byteOffset, count) };
  }
}

/** Copies bytes into a buffer of their own, so that typed arrays over it are aligned. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer;
}
