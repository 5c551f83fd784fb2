/** Finishes a run. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { canonicalJson } from '@sentvec/platform';
import { isStorageUri } from '@sentvec/storage';
import { createTemporaryFile, guardIo, isSystemError, moveIntoPlace } from '@sentvec/platform/node';
import {
  formatManifest,
  manifestFile,
  readManifest,
  rejectedFile,
  type Manifest,
  type ShardEntry,
} from '../manifest.ts';
import { findFile } from '../inputs/find-inputs.ts';
import { locationIn } from '../location.ts';
import { changedInputError, compareFileStates } from '../inputs/input-file.ts';
import { contentOf } from '../run/compare-inputs.ts';
import { readRunInputs, type CorpusRun, type RunInputs } from '../run/corpus-run.ts';
import { filesOf, findDamagedFile, readFinishedChunk, type FinishedChunk } from '../run/finished-chunk.ts';
import { discardRun } from '../run/output-folder.ts';
import { readRunFile, runFolder, runNotOpenError, writeRunFile, type RunFolder } from '../run/run-folder.ts';
import { createManifest } from './create-manifest.ts';
import { corpusSizeSchema, planChunks, type CorpusSize } from './plan-corpus.ts';
import { commitStored } from '../run/stored-output.ts';

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
  const folder = runFolder(run);
  const size = await readRunFile(folder.plan, corpusSizeSchema);
  if (size === undefined) return committedBefore(run);
  const runInputs = await readRunInputs(run);
  await checkInputs(run, runInputs, options.signal);
  const inputs = new Map(runInputs.inspected.map(({ name }, index) => [name, index]));
  if (isStorageUri(run.output)) return commitToStore(run, size, inputs, options.signal);
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
  await removeOtherShards(folder, shards);
  await writeRunFile(folder, join(run.output, manifestFile), formatManifest(manifest));
  await guardIo('Removing the files of the finished run', run.output, () => discardRun(run.output, run.key));
  return manifest;
}

/** The chunks are read twice: first for the manifest, then for the rejected rows, which need not fit into memory. */
async function commitToStore(
  run: CorpusRun,
  { chunks }: CorpusSize,
  inputs: ReadonlyMap<string, number>,
  signal: AbortSignal | undefined,
): Promise<Manifest> {
  const shards: ShardEntry[] = [];
  let firstRow = 0;
  for (let index = 0; index < chunks; index += 1) {
    throwIfAborted(signal);
    const { chunk, shard } = await readCompleteChunk(run, index, firstRow);
    firstRow += chunk.rows;
    shards.push({ ...shard, input: inputs.get(chunk.input) ?? 0 });
  }
  async function* lines(): AsyncGenerator<Buffer, void> {
    for (const [index, { rejected }] of shards.entries()) {
      if (rejected === 0) continue;
      const { rejectedRows = [] } = (await readFinishedChunk(run, index)) ?? {};
      // Another process has committed or replaced this run meanwhile, and removed what it was made of.
      if (rejectedRows.length !== rejected) throw runNotOpenError(run.output);
      yield Buffer.from(rejectedRows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    }
  }
  const manifest = await createManifest(run, shards);
  await commitStored(run.output, run.key, manifest, { key: rejectedFile, lines: lines() });
  return manifest;
}

/**
 * Makes sure that the inputs are what the chunks were made of. Where the file system cannot tell, every chunk is read
 * again.
 */
async function checkInputs(
  run: CorpusRun,
  { found, inspected }: RunInputs,
  signal: AbortSignal | undefined,
): Promise<void> {
  const uncertain = new Set<string>();
  for (const before of found) {
    if (before.kind === 'stream') continue;
    const now = await findFile(before.path);
    const state = now.kind === 'file' ? compareFileStates(before, now) : 'changed';
    if (state === 'changed') throw changedInputError(before.name);
    if (state === 'unknown') uncertain.add(before.name);
  }
  if (uncertain.size === 0) return;
  for await (const chunk of planChunks(inspected, run.options, signal)) {
    if (!uncertain.has(chunk.input)) continue;
    const finished = await readFinishedChunk(run, chunk.index);
    const isSame = finished?.shard.content === (await contentOf(chunk, run.options, signal));
    if (!isSame) throw changedInputError(chunk.input);
  }
}

/** Removes shards that an earlier run has left: they move into the folder of the run, and are removed with it. */
async function removeOtherShards({ output, temporary }: RunFolder, shards: readonly ShardEntry[]): Promise<void> {
  const own = new Set(shards.flatMap(filesOf).map(({ file }) => file));
  await guardIo('Clearing the output folder', output, async () => {
    const others = (await readdir(output)).filter((name) => /^shard-\d+\./.test(name) && !own.has(name));
    for (const name of others) {
      await moveIntoPlace(join(output, name), join(temporary, name)).catch((error: unknown) => {
        if (!isSystemError(error, 'ENOENT')) throw error; // Another process commits this run, too, or has done so.
      });
    }
  });
}

async function readCompleteChunk(run: CorpusRun, index: number, firstRow: number): Promise<FinishedChunk> {
  const finished = await readFinishedChunk(run, index);
  if (finished === undefined || finished.chunk.firstRow !== firstRow) {
    const problem = `Chunk ${index} of the run in ${run.output} is not finished.`;
    throw incompleteRunError(`${problem} \`resume\` embeds what is missing.`, { file: run.output, chunk: index });
  }
  const incomplete = await findDamagedFile(run.output, finished.shard);
  if (incomplete === undefined) return finished;
  const { file, state } = incomplete;
  const problem = `${file} in ${run.output} is ${state}.`;
  throw incompleteRunError(`${problem} \`resume\` writes it again.`, { file: locationIn(run.output, file) });
}

/** The manifest, when this very run was committed already: its folder is removed then. */
async function committedBefore(run: CorpusRun): Promise<Manifest> {
  const manifest = await readManifest(run.output);
  if (manifest?.complete && isOfRun(manifest, run)) return manifest;
  if (manifest?.complete) throw runNotOpenError(run.output);
  const problem = `The plan of the run in ${run.output} has not reached its end.`;
  throw incompleteRunError(`${problem} \`resume\` continues it.`, { file: run.output });
}

function isOfRun({ fingerprint, precision, format, options }: Manifest, run: CorpusRun): boolean {
  const isSame = canonicalJson({ ...options, precision, format }) === canonicalJson(run.options);
  return isSame && fingerprint === run.space.fingerprint;
}

function incompleteRunError(
  message: string,
  details: { readonly file: string; readonly chunk?: number | undefined },
): SentvecError {
  return new SentvecError('invalid-output', message, details);
}
