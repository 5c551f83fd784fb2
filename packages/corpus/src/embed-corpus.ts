/** Embeds a corpus in this process: the simplest way for a caller that has an embedder. */
import type { Readable } from 'node:stream';
import { AbortScope } from '@sentvec/platform';
import type { CorpusChunk } from './chunk.ts';
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
 * @throws SentvecError see {@link prepareCorpus}, {@link planCorpus}, {@link embedChunk}
 */
export async function embedCorpus(
  request: CorpusRequest,
  embedder: CorpusEmbedder,
  options: EmbedCorpusOptions = {},
): Promise<Manifest> {
  const { signal, standardInput, found, joins } = options;
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
  await embedChunks(run, embedder, progress, signal);
  return commitCorpus(run, { signal });
}

async function embedChunks(
  run: CorpusRun,
  embedder: CorpusEmbedder,
  progress: CorpusProgress,
  outer: AbortSignal | undefined,
): Promise<void> {
  // If a chunk fails, the others are aborted.
  const chunks = new AbortScope(outer);
  const { signal } = chunks;
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    chunks.abort(error);
  };
  const wanted = embedder.kind === 'sparse' ? undefined : embedder.concurrentCalls;
  const concurrentCalls = wanted ?? chunksInFlight;
  const inFlight = new Set<Promise<void>>();
  const begin = (chunk: CorpusChunk): void => {
    const onProgress: EmbedChunkOptions['onProgress'] = (done) => progress.advance(chunk, done);
    const pending: Promise<void> = embedChunk(chunk, run, embedder, { signal, onProgress })
      .then((result) => progress.finish(result))
      .catch(fail)
      .finally(() => inFlight.delete(pending));
    inFlight.add(pending);
  };
  try {
    for await (const chunk of planCorpus(run, { signal })) {
      begin(chunk);
      if (inFlight.size >= concurrentCalls) await Promise.race(inFlight);
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(inFlight);
  chunks.close();
  if (failure) throw failure.error;
}
