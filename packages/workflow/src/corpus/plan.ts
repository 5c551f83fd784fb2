import { openRun, planCorpus } from '@sentvec/corpus';
import type { StepContext } from '../step.ts';
import type { Access } from './access.ts';
import type { PlannedChunk, PreparedRequest } from './schemas.ts';

/** Cuts the inputs of a prepared run into chunks. */
export async function* planPrepared(
  { model, output, key, fingerprint, totalBytes, finished }: PreparedRequest,
  { access }: { access: Access },
  { signal, expect }: StepContext,
): AsyncGenerator<PlannedChunk, void> {
  if (finished) return;
  const run = await openRun(await access.checkWrite(output), key);
  let bytes = 0;
  for await (const chunk of planCorpus(run, { signal })) {
    bytes += chunk.bytes;
    expect(Math.max(chunk.index + 1, Math.round((totalBytes * (chunk.index + 1)) / Math.max(1, bytes))));
    yield { model, output, key, fingerprint, chunk };
  }
}
