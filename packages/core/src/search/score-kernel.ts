// The memory around the SIMD functions of the search: lays it out, copies vectors in, and computes tiles of scores.
import { bestScores, type ScoreMemory, type ScoreRuntime, type Scoring } from '@sentvec/kernels';

/** Vectors as the kernel sees them: `bytesPerVector` bytes each, one after the other. */
export interface PackedVectors {
  readonly bytes: Uint8Array;
  readonly bytesPerVector: number;
}

/**
 * Scores of the loaded queries and rows: those of query q and row r at `values[q * stride + r]`. Overwritten by the
 * next call.
 */
export interface ScoreTile {
  readonly values: Float32Array | Int32Array;
  readonly stride: number;
}

/**
 * The step of the SIMD functions, in bytes: vectors are padded with zeros to a multiple of it, which adds nothing to
 * any score.
 */
const alignment = 16;
const queriesPerTile = 4;
const rowsPerTile = 2;

/**
 * Scores blocks of rows against blocks of queries, in a memory of its own that vectors are copied into. The score of a
 * pair does not depend on which other rows and queries are in the blocks, and (x, y) scores the same as (y, x), to the
 * bit.
 */
export class ScoreKernel {
  readonly #memory: ScoreMemory;
  readonly #stride: number;
  /** Addresses in bytes. At 0 are four vectors of zeros, the queries of {@link ScoreKernel.squaredLengths}. */
  readonly #queries: number;
  readonly #rows: number;
  readonly #scores: number;
  #queryCount = 0;
  #rowCount = 0;

  /** @param queryCapacity the most queries, and `rowCapacity` the most rows, that will be loaded at once */
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

  /** Takes the vectors from row `from` up to, not including, `to` as queries. */
  loadQueries(vectors: PackedVectors, from: number, to: number): void {
    this.#queryCount = this.#load(vectors, from, to, this.#queries, queriesPerTile);
  }

  /** Takes the vectors from row `from` up to, not including, `to` as rows. */
  loadRows(vectors: PackedVectors, from: number, to: number): void {
    this.#rowCount = this.#load(vectors, from, to, this.#rows, rowsPerTile);
  }

  score(scoring: Scoring): ScoreTile {
    return this.#compute(scoring, this.#queries, this.#queryCount);
  }

  /**
   * The squared length of each loaded row (float32 only): its squared distance from zero. Overwritten by the next call.
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
   * Returns the number of vectors, rounded up to whole tiles. What fills the last tile is left over from before: no one
   * reads its scores.
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
