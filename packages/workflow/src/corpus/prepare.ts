import { SentvecError, type Embedder } from '@sentvec/core';
import {
  findInputs,
  prepareCorpus,
  type ChunkResult,
  type CorpusChunk,
  type CorpusRequest,
  type PrepareCorpusOptions,
  type PreparedCorpus,
} from '@sentvec/corpus';
import type { StepContext } from '../step.ts';
import { isBucketUri, type Access } from './access.ts';
import type { EmbedCorpusInput, PreparedRequest } from './schemas.ts';

/** What the steps of the workflow work with. */
export interface CorpusResources {
  readonly access: Access;
  readonly embedder: (model: string) => Promise<Embedder>;
  readonly observer: CorpusObserver;
}

/** Hears how far the steps that are executed in this process are. */
export interface CorpusObserver {
  /** Inputs that cannot be read at random have been copied up to this many bytes. */
  readonly unpacked?: (bytes: number) => void;
  /** The output folder is ready, for so many bytes of inputs. */
  readonly prepared?: (totalBytes: number) => void;
  /** So much of a chunk is embedded. */
  readonly advanced?: (chunk: CorpusChunk, done: { readonly rows: number; readonly tokens: number }) => void;
  readonly finished?: (result: ChunkResult) => void;
}

/** Checks a request against what may be touched, and makes its output folder ready. */
export async function prepareRequest(
  { model, request }: EmbedCorpusInput,
  { access, embedder, observer }: CorpusResources,
  { signal, runAttempt }: StepContext,
): Promise<PreparedRequest> {
  access.checkModel(model);
  await checkInputs(request.inputs, access);
  const output = await access.checkWrite(request.output);
  const prepared = await prepareAttempt({ ...request, output }, runAttempt, await embedder(model), {
    signal,
    onProgress: observer.unpacked,
  });
  const space = prepared.finished ? prepared.manifest : prepared.run.space;
  const { fingerprint } = space;
  if (prepared.finished) return { model, output, key: '00000000', fingerprint, totalBytes: 0, finished: true };
  const { run } = prepared;
  observer.prepared?.(run.totalBytes);
  return { model, output: run.output, key: run.key, fingerprint, totalBytes: run.totalBytes, finished: false };
}

/** Checks what is named, and what it turns out to be: a glob may find links that lead elsewhere. */
async function checkInputs(inputs: readonly string[], access: Access): Promise<void> {
  for (const input of inputs) {
    if (isBucketUri(input)) access.checkBucket(input);
    else await access.checkRead(searchedFolder(input));
  }
  const files = await findInputs(inputs);
  await Promise.all(files.map(({ name, path }) => access.checkRead(path === '' ? name : path)));
}

/** The folder in which a glob searches: anywhere, when it can climb. Of a plain path, all of it. */
function searchedFolder(input: string): string {
  const magic = input.search(/[*?[\]{}!()]/);
  if (magic === -1) return input;
  if (input.includes('..', magic)) return '/';
  return input.slice(0, input.lastIndexOf('/', magic) + 1) || '.';
}

async function prepareAttempt(
  request: CorpusRequest,
  runAttempt: number,
  embedder: Embedder,
  options: PrepareCorpusOptions,
): Promise<PreparedCorpus> {
  const prepare = (flags: Pick<CorpusRequest, 'resume' | 'overwrite' | 'retryRejected'>) =>
    prepareCorpus({ ...request, resume: false, overwrite: false, retryRejected: false, ...flags }, embedder, options);
  const { resume, overwrite, retryRejected } = request;
  if (runAttempt > 1) return replay(prepare);
  if (resume !== undefined || overwrite || retryRejected) return prepare({ resume, overwrite, retryRejected });
  const prepared = await prepare({ resume: true });
  // What is finished is in the way of a request that did not ask to resume: this says so.
  return prepared.finished ? prepare({}) : prepared;
}

/** A later attempt finishes what is unfinished, and of what is finished embeds the chunks with dead letters again. */
async function replay(
  prepare: (flags: Pick<CorpusRequest, 'resume' | 'retryRejected'>) => Promise<PreparedCorpus>,
): Promise<PreparedCorpus> {
  try {
    const resumed = await prepare({ resume: true });
    if (!resumed.finished || resumed.manifest.rejected === 0) return resumed;
  } catch (error) {
    // Inputs may have been corrected since: only a retry may take that.
    if (!SentvecError.is(error, 'invalid-output')) throw error;
  }
  return prepare({ retryRejected: true });
}
