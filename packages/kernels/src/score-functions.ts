/**
 * The score of two vectors: the dot product, the sum of squared or absolute differences (float32), the dot product of
 * 8-bit integers, or the number of bits that differ.
 */
export type Scoring = 'dot' | 'squared-distance' | 'absolute-distance' | 'dot-int8' | 'dot-uint8' | 'hamming';

/**
 * Compares all queries with all rows. The first three arguments are addresses in a memory; then come the bytes from one
 * vector to the next, a multiple of 16, and the two counts, multiples of 4 and 2. Writes a row of scores for each
 * query, of 4 bytes each: float32, for the last three scorings int32.
 */
export type ScoreFunction = (
  queries: number,
  rows: number,
  scores: number,
  stride: number,
  queryCount: number,
  rowCount: number,
) => void;

/** A function for each scoring. */
export type ScoreFunctions = Readonly<Record<Scoring, ScoreFunction>>;

/** The functions over one memory. */
export interface ScoreMemory {
  readonly buffer: ArrayBuffer;
  readonly functions: ScoreFunctions;
}

/** Makes a memory of at least so many bytes, all zero. */
export type ScoreRuntime = (bytes: number) => ScoreMemory;
