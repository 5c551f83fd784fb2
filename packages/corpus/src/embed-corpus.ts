/** Embeds a corpus in this process: the simplest way for a caller that has an embedder. */
import type { Readable } from 'node:stream';
import { SentvecError } from '@sentvec/core';
import { AbortScope, allowedFailures, checkMaxFailed, type MaxFailed } from '@sentvec/platform';
import { describeChunk, type CorpusChunk } from './chunk.ts';
import type { FoundInput } from './inputs/find-inputs.ts';
import type { Manifest } from './manifest.ts';
import type { CorpusRequest } from './request.ts';
import type { CorpusRun } from './run/corpus-run.ts';
import type { CorpusEmbedder } from './run/space.ts';
import { commitCorpus } from './steps/commit-corpus.ts';
import { embedChunk, type EmbedChunkOptions } from './steps/embed-chunk.ts';
import { planCorpus } from './steps/plan-corpus.ts';
import { prepareCorpus, type PrepareCorpusOptions } from './steps/prepare-corpus.ts';
import { CorpusProgress, type CorpusProgressEvent } from './progress.ts';

/** Options of {@link embedCorpus}. */
export interface EmbedCorpusOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: CorpusProgressEvent) => void) | undefined;
  /**
   * The stream that the input `-` reads.
   * @default the standard input of this process
   */
  readonly standardInput?: Readable | undefined;
  /**
   * The result of {@link findInputs} for the inputs of this request, if the caller has it already.
   * @default the inputs are searched for
   */
  readonly found?: readonly FoundInput[] | undefined;
  /**
   * How many chunks may fail: a number up to 1000, or a percentage of all chunks such as `'1%'`. The others are embedded,
   * and the error is then `incomplete`: the output is not, and nothing reads it as if it were.
   * @default 0
   */
  readonly maxFailed?: MaxFailed | undefined;
  /**
   * The manifest of a finished folder that the shards will be added to: they get its id type and its calibration.
   * @default none
   */
  readonly joins?: PrepareCorpusOptions['joins'];
}

/**
 * Number of chunks in flight, unless the embedder says how many calls it wants at once. With two, the backend computes batches of the next chunk while the last batches of the
 * current chunk finish and its shard is written.
 */
const chunksInFlight = 2;

/**
 * Embeds a corpus in this process, a few chunks at a time, in constant memory. After an abort or an error, the output
 * folder contains the finished shards and an incomplete manifest; the same request with `resume` continues the run.
 *
 * @throws SentvecError see {@link prepareCorpus}, {@link planCorpus}, {@link embedChunk}; `incomplete` when some chunks
 * failed, no more than `maxFailed`: `details.failedChunks` has the input and the error of each
 */
export async function embedCorpus(
  request: CorpusRequest,
  embedder: CorpusEmbedder,
  options: EmbedCorpusOptions = {},
): Promise<Manifest> {
  const { signal, standardInput, found, joins, maxFailed = 0 } = options;
  checkMaxFailed(maxFailed);
  const progress = new CorpusProgress(options.onProgress);
  const prepared = await prepareCorpus(request, embedder, {
    signal,
    standardInput,
    found,
    joins,
    onProgress: (bytes) => progress.unpacked(bytes),
  });
  if (prepared.finished) return prepared.manifest;
  const { run } = prepared;
  progress.begin(run.totalBytes);
  await embedChunks(run, embedder, { progress, maxFailed, outer: signal });
  return commitCorpus(run, { signal });
}

async function embedChunks(
  run: CorpusRun,
  embedder: CorpusEmbedder,
  {
    progress,
    maxFailed,
    outer,
  }: {
    readonly progress: CorpusProgress;
    readonly maxFailed: MaxFailed;
    readonly outer: AbortSignal | undefined;
  },
): Promise<void> {
  // If more chunks fail than allowed, the others are aborted.
  const chunks = new AbortScope(outer);
  const { signal } = chunks;
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    chunks.abort(error);
  };
  const failed: FailedChunk[] = [];
  const failChunk = (chunk: CorpusChunk, error: unknown): void => {
    if (signal.aborted || !isOfChunk(error)) return fail(error);
    failed.push({ reference: describeChunk(chunk), error });
    // Of how many chunks a percentage is one, is known at the end.
    if (failed.length > allowedFailures(maxFailed, Number.MAX_SAFE_INTEGER)) fail(tooManyError(failed, maxFailed));
  };
  const wanted = embedder.kind === 'sparse' ? undefined : embedder.concurrentCalls;
  const concurrentCalls = wanted ?? chunksInFlight;
  const inFlight = new Set<Promise<void>>();
  const begin = (chunk: CorpusChunk): void => {
    const onProgress: EmbedChunkOptions['onProgress'] = (done) => progress.advance(chunk, done);
    const pending: Promise<void> = embedChunk(chunk, run, embedder, { signal, onProgress })
      .then((result) => progress.finish(result))
      .catch((error: unknown) => failChunk(chunk, error))
      .finally(() => inFlight.delete(pending));
    inFlight.add(pending);
  };
  let chunkCount = 0;
  try {
    for await (const chunk of planCorpus(run, { signal })) {
      chunkCount += 1;
      begin(chunk);
      if (inFlight.size >= concurrentCalls) await Promise.race(inFlight);
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(inFlight);
  chunks.close();
  if (failure) throw failure.error;
  if (failed.length > allowedFailures(maxFailed, chunkCount)) throw tooManyError(failed, maxFailed);
  if (failed.length > 0) throw incompleteError(run.output, failed, chunkCount);
}

/** A chunk that failed. */
interface FailedChunk {
  /** See {@link describeChunk}. */
  readonly reference: string;
  readonly error: unknown;
}

/** Whether an error is that of a chunk, not of the run or the model, which every chunk would meet. */
function isOfChunk(error: unknown): boolean {
  return !(['aborted', 'disposed', 'invalid-output', 'space-mismatch'] as const).some((code) =>
    SentvecError.is(error, code),
  );
}

function tooManyError(failed: readonly FailedChunk[], maxFailed: MaxFailed): unknown {
  const { error } = failed.at(-1)!;
  if (failed.length === 1) return error;
  const message = `${failed.length} chunks failed, and at most ${maxFailed} may (\`maxFailed\`). The last: ${messageOf(error)}`;
  const { code, details } = SentvecError.is(error) ? error : { code: 'step-failed' as const, details: {} };
  return new SentvecError(code, message, { ...details, failed: failed.length }, { cause: error });
}

function incompleteError(output: string, failed: readonly FailedChunk[], chunks: number): SentvecError {
  const shown = failed.slice(0, 3).map(({ reference, error }) => `${reference}: ${messageOf(error)}`);
  const more = failed.length > shown.length ? ` … and ${failed.length - shown.length} more.` : '';
  const problem = `${failed.length} of ${chunks} chunks failed, so ${output} is not complete. ${shown.join(' ')}${more}`;
  const failedChunks = failed.map(({ reference, error }) => ({
    reference,
    code: SentvecError.is(error) ? error.code : undefined,
    message: messageOf(error),
  }));
  const details = { file: output, failed: failed.length, chunks, failedChunks };
  return new SentvecError('incomplete', `${problem} \`resume\` embeds what is missing.`, details);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
