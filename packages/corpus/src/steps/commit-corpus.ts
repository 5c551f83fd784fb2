import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { createPendingFile, flushFolder, writeAtomically } from '../files/atomic-write.ts';
import { ioFailed } from '../files/io-error.ts';
import {
  formatManifest,
  manifestFile,
  readManifest,
  rejectedFile,
  type Manifest,
  type ShardEntry,
} from '../manifest.ts';
import { notOpen, readJson, readRunSources, type CorpusRun } from '../run/corpus-run.ts';
import { runFolder } from '../run/run-folder.ts';
import { readShardRecord, type ShardRecord } from '../run/shard-record.ts';
import { manifestOf } from './manifest-of.ts';
import type { PlanEnd } from './plan-corpus.ts';

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
  const end = await readJson<PlanEnd>(folder.plan);
  if (end === undefined) return committedBefore(run);
  const { sources } = await readRunSources(run);
  const inputs = new Map(sources.map(({ name }, index) => [name, index]));
  const shards: ShardEntry[] = [];
  const rejected = await createPendingFile(join(run.output, rejectedFile), folder.temporary);
  try {
    let firstRow = 0;
    for (let index = 0; index < end.chunks; index += 1) {
      throwIfAborted(options.signal);
      const { chunk, entry, rejections } = await finishedRecord(run, index, firstRow);
      firstRow += chunk.rows;
      shards.push({ ...entry, input: inputs.get(chunk.source) ?? 0 });
      if (rejections.length > 0)
        await rejected.write(Buffer.from(rejections.map((rejection) => `${JSON.stringify(rejection)}\n`).join('')));
    }
    await rejected.publish();
  } finally {
    await rejected.discard();
  }
  const manifest = await manifestOf(run, shards);
  await writeAtomically(join(run.output, manifestFile), formatManifest(manifest), folder.temporary);
  await flushFolder(run.output);
  await removeRun(run);
  return manifest;
}

async function finishedRecord(run: CorpusRun, index: number, firstRow: number): Promise<ShardRecord> {
  const record = await readShardRecord(run, index);
  if (record === undefined || record.chunk.firstRow !== firstRow) {
    const message = `Chunk ${index} of the run in ${run.output} is not finished. --resume embeds what is missing.`;
    throw new SentvecError('invalid-output', message, { file: run.output, chunk: index });
  }
  const { entry } = record;
  for (const { file, bytes } of entry.companion ? [entry, entry.companion] : [entry]) {
    const size = await stat(join(run.output, file)).then(
      (stats) => stats.size,
      () => undefined,
    );
    if (size === bytes) continue;
    const message = `${file} in ${run.output} is ${size === undefined ? 'gone' : 'damaged'}. --resume writes it again.`;
    throw new SentvecError('invalid-output', message, { file: join(run.output, file) });
  }
  return record;
}

/** The manifest, when this very run was committed already: its folder is gone then. */
async function committedBefore(run: CorpusRun): Promise<Manifest> {
  const manifest = await readManifest(run.output);
  if (
    manifest?.complete &&
    manifest.fingerprint === run.space.fingerprint &&
    manifest.precision === run.options.precision
  )
    return manifest;
  if (manifest?.complete) throw notOpen(run.output);
  throw new SentvecError(
    'invalid-output',
    `The plan of the run in ${run.output} has not reached its end. --resume goes on with it.`,
    {
      file: run.output,
    },
  );
}

async function removeRun(run: CorpusRun): Promise<void> {
  const { root } = runFolder(run.output, run.key);
  try {
    await rm(root, { recursive: true, force: true });
  } catch (error) {
    throw ioFailed(error, 'Removing the files of the finished run', root);
  }
}
