// Scores float32 vectors for the search: turns the raw sums of the SIMD kernel into similarities.
import { ScoreKernel, type PackedVectors } from './score-kernel.ts';
import { rowsPerBlock, type BlockScorer } from './score-scan.ts';
import type { ScoreRuntime, Scoring } from '@sentvec/kernels';
import { minLength } from './similarity.ts';
import type { Matrix, SimilarityFunction } from '../types.ts';

const scorings: Readonly<Record<SimilarityFunction, Scoring>> = {
  cosine: 'dot',
  dot: 'dot',
  euclidean: 'squared-distance',
  manhattan: 'absolute-distance',
};

/** Up to this length, the dot product of two vectors and all of its partial sums are in the range of float32. */
const maxSafeLength = 1e18;

/** Scores float32 vectors with one of the similarity functions, in single precision. */
export class VectorScorer implements BlockScorer<Matrix> {
  readonly queryCount: number;
  readonly rowCapacity: number;
  readonly #queries: PackedVectors;
  readonly #similarity: SimilarityFunction;
  readonly #kernel: ScoreKernel;
  readonly #values: Float64Array;
  /** The reciprocal lengths of the selected queries and of the rows of the block. */
  readonly #queryScales: Float64Array;
  readonly #rowScales: Float64Array;
  #selected = 0;

  constructor(queries: Matrix, similarity: SimilarityFunction, queryChunkSize: number, runtime?: ScoreRuntime) {
    const queryCapacity = Math.min(queryChunkSize, queries.rows);
    this.queryCount = queries.rows;
    const isInRange = similarity === 'cosine' ? shortened(queries, 0, queries.rows) : queries;
    this.#queries = packed(isInRange);
    this.#similarity = similarity;
    this.rowCapacity = rowsPerBlock(queries.cols, this.#queries.bytesPerVector, queryCapacity);
    this.#kernel = new ScoreKernel(this.#queries.bytesPerVector, queryCapacity, this.rowCapacity, runtime);
    this.#values = new Float64Array(queryCapacity * this.rowCapacity);
    this.#queryScales = new Float64Array(queryCapacity);
    this.#rowScales = new Float64Array(this.rowCapacity);
  }

  selectQueries(from: number, to: number): void {
    this.#kernel.loadQueries(this.#queries, from, to);
    this.#selected = to - from;
    if (this.#similarity !== 'cosine') return;
    for (let start = from; start < to; start += this.rowCapacity) {
      const end = Math.min(start + this.rowCapacity, to);
      this.#kernel.loadRows(this.#queries, start, end);
      this.#writeScales(this.#queryScales.subarray(start - from, end - from));
    }
  }

  score(chunk: Matrix, from: number, to: number): { readonly values: Float64Array; readonly stride: number } {
    const stride = to - from;
    this.#kernel.loadRows(packed(chunk), from, to);
    if (this.#similarity === 'cosine' && !this.#writeScales(this.#rowScales.subarray(0, stride))) {
      this.#kernel.loadRows(packed(shortened(chunk, from, to)), 0, stride);
      this.#writeScales(this.#rowScales.subarray(0, stride));
    }
    const tile = this.#kernel.score(scorings[this.#similarity]);
    for (let query = 0; query < this.#selected; query++) this.#finish(tile.values, query * tile.stride, query, stride);
    return { values: this.#values, stride };
  }

  /**
   * Writes the reciprocal length of each loaded row. Lengths of queries and rows are computed by the same function, so
   * that cosine(x, y) = cosine(y, x) bit for bit.
   * @returns false when a vector is so long that its products may exceed the range of float32
   */
  #writeScales(scales: Float64Array): boolean {
    const squares = this.#kernel.squaredLengths();
    let isInRange = true;
    for (let row = 0; row < scales.length; row++) {
      const square = squares[row]!;
      if (!(square <= maxSafeLength ** 2)) isInRange = false;
      scales[row] = 1 / Math.max(Math.sqrt(square), minLength);
    }
    return isInRange;
  }

  #finish(raw: Float32Array | Int32Array, at: number, query: number, count: number): void {
    const values = this.#values;
    const start = query * count;
    switch (this.#similarity) {
      case 'cosine': {
        const scale = this.#queryScales[query]!;
        const scales = this.#rowScales;
        for (let row = 0; row < count; row++) values[start + row] = raw[at + row]! * (scale * scales[row]!);
        break;
      }
      case 'dot':
        for (let row = 0; row < count; row++) values[start + row] = raw[at + row]!;
        break;
      case 'euclidean':
        for (let row = 0; row < count; row++) values[start + row] = 0 - Math.sqrt(raw[at + row]!);
        break;
      case 'manhattan':
        for (let row = 0; row < count; row++) values[start + row] = 0 - raw[at + row]!;
        break;
    }
  }
}

/**
 * Copies rows of a matrix, and normalizes those that are longer than `maxSafeLength`, which does not change their
 * cosines.
 */
function shortened({ data, cols }: Matrix, from: number, to: number): Matrix {
  const copy = data.slice(from * cols, to * cols);
  for (let start = 0; start < copy.length; start += cols) {
    let squares = 0;
    for (let i = start; i < start + cols; i++) squares += copy[i]! ** 2;
    const length = Math.sqrt(squares);
    if (length > maxSafeLength) for (let i = start; i < start + cols; i++) copy[i] = copy[i]! / length;
  }
  return { data: copy, rows: to - from, cols };
}

function packed({ data, cols }: Matrix): PackedVectors {
  return {
    bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    bytesPerVector: cols * data.BYTES_PER_ELEMENT,
  };
}
