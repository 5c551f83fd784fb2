/** Splits the corpus of a run into chunks. */
import { throwIfAborted } from '@sentvec/core';
import * as v from 'valibot';
import { inOrder } from '@sentvec/platform';
import { chunkBytes, type CorpusChunk, type InputSplit } from '../chunk.ts';
import { inputsAtOnce, type InspectedInput } from '../inputs/inspect-input.ts';
import { ReadAhead } from '../read-ahead.ts';
import { jsonSchemas } from '../json-file.ts';
import type { CorpusOptions } from '../request.ts';
import { readRunInputs, type CorpusRun } from '../run/corpus-run.ts';
import { runFolder, writeRunFile } from '../run/run-folder.ts';
import { splitInput, toChunk } from '../rows/split-input.ts';

/** Splits of an input that are made while those before it are read. */
const splitsAhead = 16;

/** The number of chunks and rows of a corpus, which is known when its plan is complete. JSON. */
export interface CorpusSize {
  readonly chunks: number;
  readonly rows: number;
}

/** The schema of {@link CorpusSize}. */
export const corpusSizeSchema: v.GenericSchema<CorpusSize> = v.object({
  chunks: jsonSchemas.count,
  rows: jsonSchemas.count,
});

/**
 * Splits the corpus of a run into chunks, lazily and in constant memory. The chunks depend only on the inputs and the
 * options, so planning again gives the same chunks. After the last chunk, the size of the corpus is written, which
 * {@link commitCorpus} needs.
 *
 * @throws SentvecError `invalid-corpus` for an input that cannot be split; `invalid-output` when the run was committed
 * or replaced; `io-failed`; `aborted`
 */
export async function* planCorpus(
  run: CorpusRun,
  options: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<CorpusChunk, void> {
  const { inspected } = await readRunInputs(run);
  let chunks = 0;
  let rows = 0;
  for await (const chunk of planChunks(inspected, run.options, options.signal)) {
    yield chunk;
    chunks += 1;
    rows += chunk.rows;
  }
  const size: CorpusSize = { chunks, rows };
  const folder = runFolder(run);
  await writeRunFile(folder, folder.plan, JSON.stringify(size));
}

/** The chunks of inputs: see {@link planCorpus}. */
export async function* planChunks(
  inputs: readonly InspectedInput[],
  options: CorpusOptions,
  signal: AbortSignal | undefined,
): AsyncGenerator<CorpusChunk, void> {
  const limits = { rows: options.chunkRows, bytes: chunkBytes };
  const opened = new Set<ReadAhead<InputSplit>>();
  const open = async (input: InspectedInput) => {
    const ahead = input === inputs[0] ? 0 : splitsAhead;
    const splits = new ReadAhead(splitInput(input, options, limits, signal), ahead);
    opened.add(splits);
    return { input, splits };
  };
  let index = 0;
  let firstRow = 0;
  try {
    for await (const { input, splits } of inOrder(inputs, inputsAtOnce, open)) {
      for await (const split of splits) {
        throwIfAborted(signal);
        yield toChunk(split, input, { index, firstRow });
        index += 1;
        firstRow += split.rows;
      }
      opened.delete(splits);
    }
  } finally {
    await Promise.all([...opened].map((splits) => splits.close()));
  }
}
