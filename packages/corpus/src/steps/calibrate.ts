import { quantizationRanges, type Embedder } from '@sentvec/core';
import { chunkBytes } from '../chunk.ts';
import type { CorpusOptions } from '../request.ts';
import { readChunk } from '../rows/read-rows.ts';
import type { Calibration } from '../run/calibration.ts';
import { embedOptions } from '../run/space.ts';
import type { Source } from '../sources/source.ts';
import { cutSource, placeCut } from './cut-source.ts';
import { embedTexts } from './embed-texts.ts';

/** Texts that ranges are taken from. */
const calibrationRows = 1024;

/**
 * The ranges of the entries of vectors, from the first texts of the corpus: by them every chunk is quantized alike,
 * whoever computes it. `undefined` when the corpus has no text that can be embedded.
 *
 * @throws SentvecError `invalid-corpus`, `backend-failed`, `io-failed`, `aborted`
 */
export async function calibrate(
  sources: readonly Source[],
  options: CorpusOptions,
  embedder: Embedder,
  signal: AbortSignal | undefined,
): Promise<Calibration | undefined> {
  for await (const texts of textBatches(sources, options)) {
    const { embedded } = await embedTexts(texts, (some) => embedder.embed(some, { ...embedOptions(options), signal }));
    const { rows, cols } = embedded.vectors;
    if (rows === 0) continue;
    const { data } = quantizationRanges(embedded.vectors);
    return { rows, lower: [...data.subarray(0, cols)], upper: [...data.subarray(cols)] };
  }
  return undefined;
}

/** The texts of the corpus, as many at a time as ranges are taken from. */
async function* textBatches(sources: readonly Source[], options: CorpusOptions): AsyncGenerator<string[], void> {
  const fields = { textField: options.textField, idField: null, idType: 'int64', columns: [] } as const;
  let texts: string[] = [];
  for (const source of sources) {
    for await (const cut of cutSource(source, options, { rows: calibrationRows, bytes: chunkBytes })) {
      const { rows } = await readChunk(placeCut(cut, source, { index: 0, firstRow: 0 }), options.split, fields);
      texts.push(...rows.slice(0, calibrationRows - texts.length).map(({ text }) => text));
      if (texts.length < calibrationRows) continue;
      yield texts;
      texts = [];
    }
  }
  if (texts.length > 0) yield texts;
}
