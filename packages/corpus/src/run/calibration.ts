/**
 * Calibration: the value ranges for quantization to int8 and uint8, computed once from the first texts of the corpus.
 */
import { quantizationRanges, quantize, type Matrix } from '@sentvec/core';
import { chunkBytes } from '../chunk.ts';
import type { InspectedInput } from '../inputs/inspect-input.ts';
import { manifestSchemas, type Calibration } from '../manifest.ts';
import type { CorpusOptions, Precision } from '../request.ts';
import { readChunk } from '../rows/read-chunk.ts';
import { splitInput, toChunk } from '../rows/split-input.ts';
import { allocateEntries, type ShardVectors } from '../sinks/sink.ts';
import { embedTexts } from '../steps/embed-texts.ts';
import type { CorpusRun } from './corpus-run.ts';
import { readRunFile, runFolder } from './run-folder.ts';
import { embedTextsOf, type CorpusEmbedder } from './space.ts';

/** How many texts the ranges are computed from. */
const calibrationRows = 1024;

/** Whether a precision needs calibration. */
export function isCalibrated(precision: Precision): boolean {
  return precision === 'int8' || precision === 'uint8';
}

/**
 * Computes the ranges of each dimension from the first texts of the corpus. All workers quantize with these ranges.
 * `undefined` if no text of the corpus can be embedded.
 *
 * @throws SentvecError `invalid-corpus`, `backend-failed`, `io-failed`, `aborted`
 */
export async function calibrate(
  inputs: readonly InspectedInput[],
  options: CorpusOptions,
  embedder: CorpusEmbedder,
  signal: AbortSignal | undefined,
): Promise<Calibration | undefined> {
  for await (const texts of textBatches(inputs, options, signal)) {
    const { embedded } = await embedTexts(texts, (some) => embedTextsOf(embedder, some, options, { signal }));
    const { vectors } = embedded;
    if (!('cols' in vectors)) return undefined; // Sparse vectors cannot be quantized.
    const { rows, cols } = vectors;
    if (rows === 0) continue;
    const { data } = quantizationRanges(vectors);
    return { rows, lower: [...data.subarray(0, cols)], upper: [...data.subarray(cols)] };
  }
  return undefined;
}

/** The texts of the corpus, in batches of `calibrationRows`. */
async function* textBatches(
  inputs: readonly InspectedInput[],
  options: CorpusOptions,
  signal: AbortSignal | undefined,
): AsyncGenerator<string[], void> {
  const fields = { textField: options.textField, idField: null, idType: 'int64', columns: [] } as const;
  const limits = { rows: calibrationRows, bytes: chunkBytes };
  let texts: string[] = [];
  for (const input of inputs) {
    for await (const split of splitInput(input, options, limits, signal)) {
      const chunk = toChunk(split, input, { index: 0, firstRow: 0 });
      const { rows } = await readChunk(chunk, options.split, fields, signal);
      texts.push(...rows.slice(0, calibrationRows - texts.length).map(({ text }) => text));
      if (texts.length < calibrationRows) continue;
      yield texts;
      texts = [];
    }
  }
  if (texts.length > 0) yield texts;
}

/**
 * Reads the calibration of a run. `undefined` for a precision that needs none, and for a corpus without a text.
 *
 * @throws SentvecError `invalid-output` for a damaged file, `io-failed`
 */
export async function readCalibration(run: CorpusRun): Promise<Calibration | undefined> {
  if (!isCalibrated(run.options.precision)) return undefined;
  return readRunFile(runFolder(run).calibration, manifestSchemas.calibration);
}

/** The ranges as a matrix for {@link quantize}: row 0 has the minima, row 1 the maxima. */
export function rangesOf({ lower, upper }: Calibration): Matrix {
  return { data: Float32Array.of(...lower, ...upper), rows: 2, cols: lower.length };
}

/** Converts vectors to the precision of the output. */
export function quantizeVectors(
  vectors: Matrix,
  precision: Precision,
  calibration: Calibration | undefined,
): ShardVectors {
  if (precision === 'float32') return vectors;
  if (vectors.rows === 0) return { data: allocateEntries(precision, 0), rows: 0, cols: vectors.cols };
  return quantize(vectors, precision, { ranges: calibration && rangesOf(calibration) });
}
