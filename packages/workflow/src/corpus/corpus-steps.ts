/**
 * The steps of the workflow that embeds a corpus. They call the steps of `@sentvec/corpus`, have small JSON as input
 * and output, and use only files that an {@link Access} allows.
 */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SentvecError } from '@sentvec/core';
import {
  commitCorpus,
  embedChunk,
  findInputs,
  openRun,
  planCorpus,
  prepareCorpus,
  readCommitted,
  readManifest,
  shardTotals,
  type CorpusRequest,
  type FoundInput,
  type Manifest,
  type PreparedCorpus,
} from '@sentvec/corpus';
import type { RequestIdentity } from '../request.ts';
import type { StepContext } from '../step.ts';
import type { ForEachResult } from '../workflow.ts';
import { isStorageUri } from '@sentvec/storage';
import type { Access } from './access.ts';
import type { EmbedderOf } from './embed-corpus-workflow.ts';
import type {
  CommittedCorpus,
  CorpusTotal,
  EmbedCorpusInput,
  EmbeddedChunk,
  PlannedChunk,
  PreparedRequest,
} from './schemas.ts';

/** Dependencies of the steps. */
export interface CorpusResources {
  readonly access: Access;
  readonly embedder: EmbedderOf;
}

/**
 * Identifies a request by its input files: path, size, mtime and inode, or the version in a store. A request with
 * `overwrite`, or with files that this process cannot access, is never the same as another.
 */
export async function identifyCorpusRequest({ request }: EmbedCorpusInput): Promise<RequestIdentity> {
  const writes = [`folder:${isStorageUri(request.output) ? request.output : resolve(request.output)}`];
  const alwaysNew = request.overwrite;
  try {
    const found = await findInputs(request.inputs);
    if (found.some(({ kind }) => kind === 'stream')) return { writes };
    const content = await Promise.all(
      found.map(async ({ path, bytes, version }) => {
        if (version !== undefined) return [path, bytes, version].map(String);
        const { size, mtimeNs, ino } = await stat(path, { bigint: true });
        return [path, size, mtimeNs, ino].map(String);
      }),
    );
    return { content, alwaysNew, writes };
  } catch (error) {
    // Rethrow errors of the request itself, such as a URI with a password, which must not be stored. Ignore missing
    // files, because they may exist on the workers.
    if (SentvecError.is(error, 'invalid-argument')) throw error;
    return { writes };
  }
}

/** Checks the access of a request, and prepares its output folder. */
export async function prepareRequest(
  { model, request }: EmbedCorpusInput,
  { access, embedder }: CorpusResources,
  { signal, runAttempt }: StepContext,
): Promise<PreparedRequest> {
  access.checkModel(model);
  const found = await findAllowedInputs(request.inputs, access);
  const output = await access.checkWrite(request.output);
  const loaded = await embedder(model);
  const prepare = (options: StartOptions): Promise<PreparedCorpus> =>
    prepareCorpus({ ...request, output, ...startAsIs, ...options }, loaded, { signal, found });
  const isReplay = runAttempt > 1 && !request.update; // `update` continues unfinished runs and retries rejected rows anyway.
  const prepared = isReplay ? await replay(prepare) : await start(request, prepare);
  if (prepared.finished) {
    const { fingerprint } = prepared.manifest;
    return { model, output, key: '00000000', fingerprint, totalBytes: 0, finished: true };
  }
  const { key, space, totalBytes } = prepared.run;
  return { model, output: prepared.run.output, key, fingerprint: space.fingerprint, totalBytes, finished: false };
}

/**
 * Finds inputs, and checks access to their names and to the resolved files, because a glob may match symbolic links.
 */
async function findAllowedInputs(inputs: readonly string[], access: Access): Promise<readonly FoundInput[]> {
  for (const input of inputs) {
    if (isStorageUri(input)) access.checkBucket(input);
    else await access.checkRead(searchedFolder(input));
  }
  const found = await findInputs(inputs);
  await Promise.all(found.map(({ name, path }) => access.checkRead(path === '' ? name : path)));
  return found;
}

/** The folder that a glob searches: the root if the glob contains `..`. For a plain path, the path. */
function searchedFolder(input: string): string {
  const magic = input.search(/[*?[\]{}!()]/);
  if (magic === -1) return input;
  if (input.includes('..', magic)) return '/';
  return input.slice(0, input.lastIndexOf('/', magic) + 1) || '.';
}

type StartOptions = Pick<CorpusRequest, 'resume' | 'update' | 'overwrite' | 'retryRejected'>;

const startAsIs: StartOptions = { resume: false, update: false, overwrite: false, retryRejected: false };

/** Starts a run. Continues an unfinished run of the same request, unless the request has options for this case. */
async function start(
  { resume, update, overwrite, retryRejected }: CorpusRequest,
  prepare: (options: StartOptions) => Promise<PreparedCorpus>,
): Promise<PreparedCorpus> {
  try {
    return await prepare({ resume, update, overwrite, retryRejected });
  } catch (error) {
    const isUnfinished = SentvecError.is(error, 'invalid-output') && error.details['unfinished'] === true;
    if (!isUnfinished || resume !== undefined || overwrite || retryRejected) throw error;
    return prepare({ resume: true });
  }
}

/**
 * Replays a run: finishes an unfinished one; for a finished one, embeds missing shards, rejected rows and changed rows,
 * because inputs may have been corrected.
 */
async function replay(prepare: (options: StartOptions) => Promise<PreparedCorpus>): Promise<PreparedCorpus> {
  try {
    const resumed = await prepare({ resume: true });
    if (!resumed.finished || resumed.manifest.rejected === 0) return resumed;
  } catch (error) {
    // Inputs have changed since the run finished. Only `retryRejected` accepts that.
    if (!SentvecError.is(error, 'invalid-output')) throw error;
  }
  return prepare({ retryRejected: true });
}

/** Splits the inputs of a prepared run into chunks. */
export async function* planPrepared(
  { model, output, key, fingerprint, totalBytes, finished }: PreparedRequest,
  { access }: Pick<CorpusResources, 'access'>,
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

/** After this many lost processes while embedding the same chunk, the chunk may be the cause. */
const suspiciousLosses = 2;

/**
 * Embeds one chunk of a prepared run into its shard. If this has crashed the process twice, the texts are embedded in a
 * separate process, and texts that crash it become rejected rows.
 *
 * @throws SentvecError `space-mismatch` when the chunk, the run and the model of this process have different embedding
 * spaces
 */
export async function embedPlanned(
  { model, output, key, fingerprint, chunk }: PlannedChunk,
  { access, embedder }: CorpusResources,
  { signal, losses, progress, deadLetter }: StepContext,
): Promise<EmbeddedChunk> {
  access.checkModel(model);
  await access.checkRead(chunk.path);
  const run = await openRun(await access.checkWrite(output), key);
  if (run.space.fingerprint !== fingerprint) {
    const message = `The run in ${output} has another embedding space than this chunk. It was replaced by a run of another model.`;
    throw new SentvecError('space-mismatch', message, { file: output });
  }
  const result = await embedChunk(chunk, run, await embedder(model, { isolated: losses >= suspiciousLosses }), {
    signal,
    onProgress: progress,
  });
  for (const { file, row, reason } of result.rejectedRows) deadLetter({ reference: `${file}#${row}`, reason });
  const { rows, rejected, truncated, tokens, bytes, reused } = result;
  return { rows, rejected, truncated, tokens, bytes, reused };
}

/** Commits a run after all of its chunks were embedded. Idempotent. */
export async function commitPrepared(
  { input }: ForEachResult<PreparedRequest, CorpusTotal>,
  { access }: Pick<CorpusResources, 'access'>,
  { signal }: StepContext,
): Promise<CommittedCorpus> {
  const manifest = await commit(input, access, signal);
  const { fingerprint, rows, rejected, truncated, tokens } = manifest;
  const { shards } = shardTotals(manifest);
  return { output: input.output, fingerprint, rows, rejected, truncated, tokens, shards };
}

async function commit(
  { output, key, fingerprint, finished }: PreparedRequest,
  access: Access,
  signal: AbortSignal,
): Promise<Manifest> {
  const folder = await access.checkWrite(output);
  if (finished) {
    const manifest = await readManifest(folder);
    if (manifest?.complete && manifest.fingerprint === fingerprint) return manifest;
    const message = `The manifest of ${output} was removed or replaced while the run was being committed.`;
    throw new SentvecError('invalid-output', message, { file: output });
  }
  try {
    return await commitCorpus(await openRun(folder, key), { signal });
  } catch (error) {
    // An earlier attempt may have committed the run and died before it reported that.
    const isClosed = SentvecError.is(error, 'invalid-output') && error.details.missing === true;
    const manifest = isClosed ? await readCommitted(folder) : undefined;
    if (manifest?.fingerprint === fingerprint) return manifest;
    throw error;
  }
}
