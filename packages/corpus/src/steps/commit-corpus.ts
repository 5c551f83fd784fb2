/** Commits a run: the last step, which makes its output visible to readers. */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { canonicalJson, inOrder } from '@sentvec/platform';
import { isStorageUri, locateFile } from '@sentvec/storage';
import { createTemporaryFile, guardIo, isSystemError, moveIntoPlace } from '@sentvec/platform/node';
import {
  formatManifest,
  isListedName,
  manifestFile,
  type Manifest,
  type ShardEntry,
  type ShardFile,
} from '../manifest.ts';
import { namesOfListed, summarizeShards } from '../manifest-parts.ts';
import { findFile } from '../inputs/find-inputs.ts';
import { callsAtOnce, locationIn } from '../location.ts';
import { changedInputError, compareFileStates } from '../inputs/input-file.ts';
import { contentOf } from '../run/compare-inputs.ts';
import { findRun, readRunInputs, type CorpusRun, type RunInputs } from '../run/corpus-run.ts';
import { findDamagedFile, readFinishedChunk, type FinishedChunk } from '../run/finished-chunk.ts';
import { namesOfFiles } from '../run/file-names.ts';
import { discardRun, readCommitted } from '../run/output-folder.ts';
import type { RejectedRow } from '../rows/rejected-row.ts';
import { readRunFile, runFolder, runNotOpenError, writeRunFile, type RunFolder } from '../run/run-folder.ts';
import { createManifest } from './create-manifest.ts';
import { corpusSizeSchema, planChunks } from './plan-corpus.ts';
import { commitStored } from '../run/stored-output.ts';

/**
 * Commits a run: writes the list of rejected rows and the parts of the manifest, if it has any, atomically replaces the
 * manifest by the complete one, and then removes all files that the manifest does not list and the temporary files of
 * the run. Memory: the shards of one part, and some 100 bytes for each shard. It is idempotent.
 *
 * @throws SentvecError `invalid-output` when a chunk is missing or the run was replaced; `io-failed`; `aborted`
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
  const hash = createHash('sha256');
  /** How many rows of a chunk are on the list, for chunks that have some. */
  const rejectedOf = new Map<number, number>();
  let rejectedBytes = 0;
  async function* shards(chunks: number): AsyncGenerator<ShardEntry, void> {
    let firstRow = 0;
    let index = 0;
    // In a store, each chunk takes two requests. Sequential requests for 50,000 chunks would take about an hour.
    for await (const finished of inOrder(numbersTo(chunks), callsAtOnce, (each) => readCompleteChunk(run, each))) {
      throwIfAborted(options.signal);
      const { chunk, shard, rejectedRows } = finished;
      if (chunk.firstRow !== firstRow) throw missingChunkError(run, index);
      firstRow += chunk.rows;
      if (rejectedRows.length > 0) rejectedOf.set(index, rejectedRows.length);
      const lines = rejectedLines(rejectedRows);
      hash.update(lines);
      rejectedBytes += lines.length;
      index += 1;
      yield { ...shard, input: inputs.get(chunk.input) ?? 0 };
    }
  }
  const summary = await summarizeShards(shards(size.chunks), (name, content) =>
    writeRunFile(folder, locationIn(run.output, name), content),
  );
  const sha256 = hash.digest('hex');
  const [file] = await namesOfFiles(run, ['rejected.jsonl'], [sha256]);
  const rejected = { file: file!, bytes: rejectedBytes, sha256 };
  await writeRejectedRows(run, rejected, rejectedOf);
  const manifest = await createManifest(run, summary, rejected);
  if (isStorageUri(run.output)) await commitStored(run.output, run.key, manifest);
  else await commitLocally(run, manifest);
  return manifest;
}

function* numbersTo(end: number): Generator<number> {
  for (let number = 0; number < end; number += 1) yield number;
}

function rejectedLines(rows: readonly RejectedRow[]): Buffer {
  return Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}

/**
 * Writes the list of rejected rows. It reads the chunk records again, because all rejected rows may not fit into
 * memory.
 */
async function writeRejectedRows(
  run: CorpusRun,
  { file }: ShardFile,
  rejectedOf: ReadonlyMap<number, number>,
): Promise<void> {
  async function* lines(): AsyncGenerator<Buffer, void> {
    for (const [index, rejected] of rejectedOf) {
      const { rejectedRows = [] } = (await readFinishedChunk(run, index)) ?? {};
      // The record has changed: another process has committed or replaced this run, and removed its files.
      if (rejectedRows.length !== rejected) throw runNotOpenError(run.output);
      yield rejectedLines(rejectedRows);
    }
  }
  const location = locationIn(run.output, file);
  if (isStorageUri(location)) {
    const { storage, key } = locateFile(location);
    await storage.write(key, lines());
    return;
  }
  const temporary = await createTemporaryFile(location, { temporaryFolder: runFolder(run).temporary });
  try {
    for await (const block of lines()) await temporary.write(block);
    await temporary.commit();
  } finally {
    await temporary.abort();
  }
}

/** Commits in a local folder. Until the manifest is replaced, readers see the earlier output. */
async function commitLocally(run: CorpusRun, manifest: Manifest): Promise<void> {
  const folder = runFolder(run);
  await writeRunFile(folder, join(run.output, manifestFile), formatManifest(manifest));
  await removeReplacedFiles(folder, manifest);
  await guardIo('Removing the files of the finished run', run.output, () => discardRun(run.output, run.key));
}

/**
 * Checks that the inputs have not changed since the chunks were read. If the metadata of a file is not conclusive, its
 * chunks are read again.
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

/**
 * Removes the files of the replaced manifest and those of dead attempts: moves them into the folder of the run, which
 * is removed later.
 */
async function removeReplacedFiles({ output, temporary }: RunFolder, manifest: Manifest): Promise<void> {
  const listed = await namesOfListed(output, manifest);
  await guardIo('Clearing the output folder', output, async () => {
    for (const name of await readdir(output)) {
      if (listed.has(name) || !isListedName(name)) continue;
      await moveIntoPlace(join(output, name), join(temporary, name)).catch((error: unknown) => {
        if (!isSystemError(error, 'ENOENT')) throw error; // Another process commits the same run.
      });
    }
  });
}

async function readCompleteChunk(run: CorpusRun, index: number): Promise<FinishedChunk> {
  const finished = await readFinishedChunk(run, index);
  if (finished === undefined) throw missingChunkError(run, index);
  const incomplete = await findDamagedFile(run.output, finished.shard);
  if (incomplete === undefined) return finished;
  const { file, state } = incomplete;
  const problem = `${file} in ${run.output} is ${state}.`;
  throw incompleteRunError(`${problem} \`resume\` writes it again.`, { file: locationIn(run.output, file) });
}

function missingChunkError({ output }: CorpusRun, index: number): SentvecError {
  const problem = `Chunk ${index} of the run in ${output} is not finished.`;
  return incompleteRunError(`${problem} \`resume\` embeds what is missing.`, { file: output, chunk: index });
}

/** The manifest, if this run was committed already, so that its folder is gone. */
async function committedBefore(run: CorpusRun): Promise<Manifest> {
  if ((await findRun(run.output, run.key)) === undefined) {
    const manifest = await readCommitted(run.output);
    if (manifest && isOfRun(manifest, run)) return manifest;
    throw runNotOpenError(run.output);
  }
  const problem = `The plan of the run in ${run.output} is not complete.`;
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
