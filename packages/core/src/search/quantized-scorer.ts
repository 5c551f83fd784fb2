// Scores quantized vectors for the search: quantizes the queries like the corpus, and scores blocks of the corpus.
import { SentvecError } from '../errors.ts';
import { quantize, type QuantizedMatrix, type QuantizedPrecision } from './quantization.ts';
import { ScoreKernel, type PackedVectors } from './score-kernel.ts';
import type { ScoreRuntime, Scoring } from '@sentvec/kernels';
import { rowsPerBlock, type BlockScorer } from './score-scan.ts';
import type { Matrix } from '../types.ts';
import { checkSameLength } from './vector-checks.ts';

const scorings: Readonly<Record<QuantizedPrecision, Scoring>> = {
  int8: 'dot-int8',
  uint8: 'dot-uint8',
  binary: 'hamming',
  ubinary: 'hamming',
};

/**
 * Scores quantized vectors. Larger is nearer, so the Hamming distance is negated. The first chunk determines how
 * queries are quantized.
 */
export class QuantizedScorer implements BlockScorer<QuantizedMatrix> {
  readonly queryCount: number;
  readonly #queries: Matrix;
  readonly #queryCapacity: number;
  readonly #ranges: Matrix | undefined;
  readonly #runtime: ScoreRuntime | undefined;
  #prepared:
    | { readonly kernel: ScoreKernel; readonly queries: QuantizedMatrix; readonly values: Float64Array }
    | undefined;
  #selected = 0;
  rowCapacity = 0;

  constructor(queries: Matrix, queryChunkSize: number, ranges?: Matrix, runtime?: ScoreRuntime) {
    this.queryCount = queries.rows;
    this.#queries = queries;
    this.#queryCapacity = Math.min(queryChunkSize, queries.rows);
    this.#ranges = ranges;
    this.#runtime = runtime;
  }

  /**
   * Checks that a chunk can be scored; with the first chunk, quantizes the queries and creates the kernel.
   * @throws SentvecError `invalid-argument`
   */
  prepare(chunk: QuantizedMatrix): void {
    const { precision, cols, dimension, rows, data } = chunk;
    checkSameLength(this.#queries.cols, 'queries', dimension, 'corpus');
    if (
      data.length !== rows * cols ||
      cols !== (scorings[precision] === 'hamming' ? Math.ceil(dimension / 8) : dimension)
    ) {
      throw new SentvecError(
        'invalid-argument',
        `The corpus: ${data.length} bytes do not fit ${rows} ${precision} vectors of ${dimension} entries.`,
      );
    }
    const ready = this.#prepared?.queries;
    if (!ready) this.#start(chunk);
    else if (ready.precision !== precision || differ(ready.ranges, this.#ranges ?? chunk.ranges)) {
      throw new SentvecError(
        'invalid-argument',
        'The chunks of the corpus are quantized differently. Quantize all of them with the same precision and ranges.',
      );
    }
  }

  #start(chunk: QuantizedMatrix): void {
    const { precision, cols } = chunk;
    const ranges = this.#ranges ?? chunk.ranges;
    if (scorings[precision] !== 'hamming' && !ranges) {
      throw new SentvecError(
        'invalid-argument',
        `To quantize the queries, the ranges of the ${precision} corpus are needed. Pass them as \`ranges\`.`,
      );
    }
    this.rowCapacity = rowsPerBlock(cols, cols, this.#queryCapacity);
    this.#prepared = {
      kernel: new ScoreKernel(cols, this.#queryCapacity, this.rowCapacity, this.#runtime),
      queries: quantize(this.#queries, precision, { ranges }),
      values: new Float64Array(this.#queryCapacity * this.rowCapacity),
    };
  }

  selectQueries(from: number, to: number): void {
    const { kernel, queries } = this.#prepared!;
    kernel.loadQueries(packed(queries), from, to);
    this.#selected = to - from;
  }

  score(chunk: QuantizedMatrix, from: number, end: number): { readonly values: Float64Array; readonly stride: number } {
    const { kernel, values } = this.#prepared!;
    const count = end - from;
    const scoring = scorings[chunk.precision];
    kernel.loadRows(packed(chunk), from, end);
    const tile = kernel.score(scoring);
    for (let query = 0; query < this.#selected; query++) {
      const [at, to] = [query * tile.stride, query * count];
      if (scoring === 'hamming') for (let row = 0; row < count; row++) values[to + row] = 0 - tile.values[at + row]!;
      else for (let row = 0; row < count; row++) values[to + row] = tile.values[at + row]!;
    }
    return { values, stride: count };
  }
}

function packed({ data, cols }: QuantizedMatrix): PackedVectors {
  return { bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), bytesPerVector: cols };
}

function differ(a: Matrix | undefined, b: Matrix | undefined): boolean {
  return a !== b && (a?.data.length !== b?.data.length || a?.data.some((end, i) => end !== b!.data[i]) === true);
}
