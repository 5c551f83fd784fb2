// Manages the memory of the SIMD functions of the vector search: copies vectors in, and computes tiles of scores.
import { bestScores, type ScoreMemory, type ScoreRuntime, type Scoring } from '@sentvec/kernels';

/** Vectors of `bytesPerVector` bytes each, one after the other. */
export interface PackedVectors {
  readonly bytes: Uint8Array;
  readonly bytesPerVector: number;
}

/**
 * Scores of the loaded queries and rows: the score of query q and row r is `values[q * stride + r]`. The next call
 * overwrites them.
 */
export interface ScoreTile {
  readonly values: Float32Array | Int32Array;
  readonly stride: number;
}

/**
 * Width of a SIMD register in bytes. Vectors are padded with zeros to a multiple of it, which does not change any
 * score.
 */
const alignment = 16;
const queriesPerTile = 4;
const rowsPerTile = 2;

/**
 * Scores blocks of rows against blocks of queries, in its own memory, into which vectors are copied. The score of a
 * pair is identical, bit for bit, whatever the other rows and queries are, and symmetric: score(x, y) = score(y, x).
 */
export class ScoreKernel {
  readonly #memory: ScoreMemory;
  readonly #stride: number;
  /**
   * Addresses in bytes. Address 0 has four zero vectors, which are the queries of {@link ScoreKernel.squaredLengths}.
   */
  readonly #queries: number;
  readonly #rows: number;
  readonly #scores: number;
  #queryCount = 0;
  #rowCount = 0;

  /**
   * @param queryCapacity the most queries that will be loaded at once
   * @param rowCapacity the most rows that will be loaded at once
   */
  constructor(
    bytesPerVector: number,
    queryCapacity: number,
    rowCapacity: number,
    runtime: ScoreRuntime = bestScores(),
  ) {
    this.#stride = roundUp(bytesPerVector, alignment);
    const queries = roundUp(queryCapacity, queriesPerTile);
    const rows = roundUp(rowCapacity, rowsPerTile);
    this.#queries = queriesPerTile * this.#stride;
    this.#rows = this.#queries + queries * this.#stride;
    this.#scores = this.#rows + rows * this.#stride;
    this.#memory = runtime(this.#scores + queries * rows * 4);
  }

  /** Loads the vectors from row `from` up to, but not including, `to` as queries. */
  loadQueries(vectors: PackedVectors, from: number, to: number): void {
    this.#queryCount = this.#load(vectors, from, to, this.#queries, queriesPerTile);
  }

  /** Loads the vectors from row `from` up to, but not including, `to` as rows. */
  loadRows(vectors: PackedVectors, from: number, to: number): void {
    this.#rowCount = this.#load(vectors, from, to, this.#rows, rowsPerTile);
  }

  score(scoring: Scoring): ScoreTile {
    return this.#compute(scoring, this.#queries, this.#queryCount);
  }

  /**
   * The squared length of each loaded row (float32 only), computed as its squared distance from the zero vector. The
   * next call overwrites them.
   */
  squaredLengths(): Float32Array | Int32Array {
    return this.#compute('squared-distance', 0, queriesPerTile).values;
  }

  #compute(scoring: Scoring, queries: number, queryCount: number): ScoreTile {
    this.#memory.functions[scoring](queries, this.#rows, this.#scores, this.#stride, queryCount, this.#rowCount);
    const Values = scoring === 'hamming' || scoring.startsWith('dot-') ? Int32Array : Float32Array;
    return {
      values: new Values(this.#memory.buffer, this.#scores, queryCount * this.#rowCount),
      stride: this.#rowCount,
    };
  }

  /**
   * Copies vectors into memory. Returns their number, rounded up to whole tiles. The rest of the last tile contains old
   * data, whose scores are not read.
   */
  #load({ bytes, bytesPerVector }: PackedVectors, from: number, to: number, address: number, perTile: number): number {
    const memory = new Uint8Array(this.#memory.buffer);
    if (bytesPerVector === this.#stride) {
      memory.set(bytes.subarray(from * bytesPerVector, to * bytesPerVector), address);
    } else {
      for (let row = from; row < to; row++) {
        memory.set(
          bytes.subarray(row * bytesPerVector, (row + 1) * bytesPerVector),
          address + (row - from) * this.#stride,
        );
      }
    }
    return roundUp(to - from, perTile);
  }
}

function roundUp(count: number, multiple: number): number {
  return Math.ceil(count / multiple) * multiple;
}
