/** Finishes a run. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { createTemporaryFile, guardIo } from '@sentvec/platform/node';
import {
  formatManifest,
  manifestFile,
  readManifest,
  rejectedFile,
  type Manifest,
  type ShardEntry,
} from '../manifest.ts';
import { readRunInputs, type CorpusRun } from '../run/corpus-run.ts';
import { findIncompleteFile, readFinishedChunk, type FinishedChunk } from '../run/finished-chunk.ts';
import { readRunFile, runFolder, runNotOpenError, writeRunFile } from '../run/run-folder.ts';
import { createManifest } from './create-manifest.ts';
import { corpusSizeSchema } from './plan-corpus.ts';

/**
 * Finishes a run: writes `rejected.jsonl` and, last of all, the complete manifest, and removes what the run needed in
 * between. May be called again.
 *
 * @throws SentvecError `invalid-output` when a chunk is missing, or the run was replaced by another; `io-failed`,
 * `aborted`
 */
export async function commitCorpus(
  run: CorpusRun,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Manifest> {
  const folder = runFolder(run.output, run.key);
  const size = await readRunFile(folder.plan, corpusSizeSchema);
  if (size === undefined) return committedBefore(run);
  const { inspected } = await readRunInputs(run);
  const inputs = new Map(inspected.map(({ name }, index) => [name, index]));
  const shards: ShardEntry[] = [];
  const rejected = await createTemporaryFile(join(run.output, rejectedFile), { temporaryFolder: folder.temporary });
  try {
    let firstRow = 0;
    for (let index = 0; index < size.chunks; index += 1) {
      throwIfAborted(options.signal);
      const { chunk, shard, rejectedRows } = await readCompleteChunk(run, index, firstRow);
      firstRow += chunk.rows;
      shards.push({ ...shard, input: inputs.get(chunk.input) ?? 0 });
      if (rejectedRows.length > 0)
        await rejected.write(Buffer.from(rejectedRows.map((row) => `${JSON.stringify(row)}\n`).join('')));
    }
    await rejected.commit();
  } finally {
    await rejected.abort();
  }
  const manifest = await createManifest(run, shards);
  await writeRunFile(run, join(run.output, manifestFile), formatManifest(manifest));
  await removeRun(run);
  return manifest;
}

async function readCompleteChunk(run: CorpusRun, index: number, firstRow: number): Promise<FinishedChunk> {
  const finished = await readFinishedChunk(run, index);
  if (finished === undefined || finished.chunk.firstRow !== firstRow) {
    const problem = `Chunk ${index} of the run in ${run.output} is not finished.`;
    throw incompleteRunError(`${problem} \`resume\` embeds what is missing.`, { file: run.output, chunk: index });
  }
  const incomplete = await findIncompleteFile(run.output, finished.shard);
  if (incomplete === undefined) return finished;
  const { file, state } = incomplete;
  const problem = `${file} in ${run.output} is ${state}.`;
  throw incompleteRunError(`${problem} \`resume\` writes it again.`, { file: join(run.output, file) });
}

/** The manifest, when this very run was committed already: its folder is removed then. */
async function committedBefore(run: CorpusRun): Promise<Manifest> {
  const manifest = await readManifest(run.output);
  const { fingerprint } = run.space;
  if (manifest?.complete && manifest.fingerprint === fingerprint && manifest.precision === run.options.precision)
    return manifest;
  if (manifest?.complete) throw runNotOpenError(run.output);
  const problem = `The plan of the run in ${run.output} has not reached its end.`;
  throw incompleteRunError(`${problem} \`resume\` continues it.`, { file: run.output });
}

function incompleteRunError(
  message: string,
  details: { readonly file: string; readonly chunk?: number | undefined },
): SentvecError {
  return new SentvecError('invalid-output', message, details);
}

async function removeRun(run: CorpusRun): Promise<void> {
  const { root } = runFolder(run.output, run.key);
  await guardIo('Removing the files of the finished run', root, () => rm(root, { recursive: true, force: true }));
}
