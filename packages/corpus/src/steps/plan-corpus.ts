import { throwIfAborted } from '@sentvec/core';
import { chunkBytes, type CorpusChunk } from '../chunk.ts';
import { writeAtomically } from '../files/atomic-write.ts';
import { readRunSources, type CorpusRun } from '../run/corpus-run.ts';
import { runFolder } from '../run/run-folder.ts';
import { cutSource, placeCut } from './cut-source.ts';

/** How many chunks and rows a corpus has. */
export interface PlanEnd {
  readonly chunks: number;
  readonly rows: number;
}

/**
 * Cuts the corpus of a run into chunks, lazily and in constant memory. The chunks depend on the inputs and the options
 * alone: planning again gives the same ones. When the last chunk has been taken, the plan's end is recorded for {@link
 * commitCorpus}.
 *
 * @throws SentvecError `invalid-corpus` for an input that cannot be cut, `invalid-output` when the run is no longer
 * open, `io-failed`, `aborted`
 */
export async function* planCorpus(
  run: CorpusRun,
  options: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<CorpusChunk, void> {
  const { sources } = await readRunSources(run);
  const limits = { rows: run.options.chunkRows, bytes: chunkBytes };
  let index = 0;
  let firstRow = 0;
  for (const source of sources) {
    for await (const cut of cutSource(source, run.options, limits)) {
      throwIfAborted(options.signal);
      yield placeCut(cut, source, { index, firstRow });
      index += 1;
      firstRow += cut.rows;
    }
  }
  const end: PlanEnd = { chunks: index, rows: firstRow };
  const folder = runFolder(run.output, run.key);
  await writeAtomically(folder.plan, JSON.stringify(end), folder.temporary);
}
