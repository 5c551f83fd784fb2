import { SentvecError } from '@sentvec/core';
import { commitCorpus, openRun, readManifest, type Manifest } from '@sentvec/corpus';
import type { StepContext } from '../step.ts';
import type { Access } from './access.ts';
import type { CommittedCorpus, PreparedRequest } from './schemas.ts';

/** Commits a run all of whose chunks are embedded. Once more is no harm. */
export async function commitPrepared(
  { input }: { input: PreparedRequest },
  { access }: { access: Access },
  { signal }: StepContext,
): Promise<CommittedCorpus> {
  const { fingerprint, rows, rejected, truncated, tokens, shards } = await commit(input, access, signal);
  return { output: input.output, fingerprint, rows, rejected, truncated, tokens, shards: shards.length };
}

async function commit(
  { output, key, fingerprint, finished }: PreparedRequest,
  access: Access,
  signal: AbortSignal,
): Promise<Manifest> {
  const folder = await access.checkWrite(output);
  const before = async () => {
    const manifest = await readManifest(folder);
    return manifest?.complete && manifest.fingerprint === fingerprint ? manifest : undefined;
  };
  if (finished) return (await before()) ?? gone(output);
  try {
    return await commitCorpus(await openRun(folder, key), { signal });
  } catch (error) {
    // An earlier attempt may have committed, and died before it could say so.
    const manifest = SentvecError.is(error, 'invalid-output') ? await before() : undefined;
    if (manifest) return manifest;
    throw error;
  }
}

function gone(output: string): never {
  throw new SentvecError('invalid-output', `The manifest of ${output} was there and is gone.`, { file: output });
}
