import { SentvecError } from '@sentvec/core';
import { embedChunk, openRun } from '@sentvec/corpus';
import type { StepContext } from '../step.ts';
import type { CorpusResources } from './prepare.ts';
import type { EmbeddedChunk, PlannedChunk } from './schemas.ts';

/**
 * Embeds one chunk of a prepared run into its shard.
 *
 * @throws SentvecError `space-mismatch` unless the chunk, the run and the model of this process are of one embedding
 * space
 */
export async function embedPrepared(
  { model, output, key, fingerprint, chunk }: PlannedChunk,
  { access, embedder, observer }: CorpusResources,
  { signal, progress, deadLetter }: StepContext,
): Promise<EmbeddedChunk> {
  access.checkModel(model);
  await access.checkRead(chunk.path);
  const run = await openRun(await access.checkWrite(output), key);
  if (run.space.fingerprint !== fingerprint) {
    throw new SentvecError(
      'space-mismatch',
      `The run in ${output} is for another embedding space than this chunk of it.`,
      {
        file: output,
      },
    );
  }
  const onProgress = (done: { readonly rows: number; readonly tokens: number }) => {
    observer.advanced?.(chunk, done);
    progress(done);
  };
  const result = await embedChunk(chunk, run, await embedder(model), { signal, onProgress });
  observer.finished?.(result);
  for (const { file, row, reason } of result.rejections) deadLetter({ reference: `${file}#${row}`, reason });
  const { rows, rejected, truncated, tokens, bytes, reused } = result;
  return { rows, rejected, truncated, tokens, bytes, reused };
}
