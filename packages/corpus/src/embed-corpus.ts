/** Embeds a corpus in this process: the front door for a caller that has an embedder. */
import type { Readable } from 'node:stream';
import type { Embedder } from '@sentvec/core';
import type { CorpusChunk } from './chunk.ts';
import type { FoundInput } from './inputs/find-inputs.ts';
import type { Manifest } from './manifest.ts';
import type { CorpusRequest } from './request.ts';
import type { CorpusRun } from './run/corpus-run.ts';
import { commitCorpus } from './steps/commit-corpus.ts';
import { embedChunk } from './steps/embed-chunk.ts';
import { planCorpus } from './steps/plan-corpus.ts';
import { prepareCorpus } from './steps/prepare-corpus.ts';
import { CorpusProgress, type CorpusProgressEvent } from './progress.ts';

/** Options of {@link embedCorpus}. */
export interface EmbedCorpusOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: CorpusProgressEvent) => void) | undefined;
  /**
   * What the input `-` reads.
   * @default the standard input of this process
   */
  readonly standardInput?: Readable | undefined;
  /**
   * What {@link findInputs} found for the inputs of this request, for a caller that has looked already.
   * @default they are found
   */
  readonly found?: readonly FoundInput[] | undefined;
}

/**
 * Chunks in flight at once: while the last batches of one are computed, those of the next keep the backend busy, and
 * shards are written meanwhile.
 */
const chunksInFlight = 2;

/**
 * Embeds a corpus in this process: a few chunks at a time, in constant memory. After an abort or an error the output
 * folder holds the finished shards and a manifest that is not complete; the same request with `resume` continues.
 *
 * @throws SentvecError see {@link prepareCorpus}, {@link planCorpus}, {@link embedChunk}
 */
export async function embedCorpus(
  request: CorpusRequest,
  embedder: Embedder,
  options: EmbedCorpusOptions = {},
): Promise<Manifest> {
  const { signal, standardInput, found } = options;
  const progress = new CorpusProgress(options.onProgress);
  const prepared = await prepareCorpus(request, embedder, {
    signal,
    standardInput,
    found,
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
  embedder: Embedder,
  progress: CorpusProgress,
  signal: AbortSignal | undefined,
): Promise<void> {
  // One failing chunk stops the others.
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const inFlight = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const embed = async (chunk: CorpusChunk): Promise<void> => {
    try {
      const result = await embedChunk(chunk, run, embedder, {
        signal: either,
        onProgress: (done) => progress.advance(chunk, done),
      });
      progress.finish(result);
    } catch (error) {
      failure ??= { error };
      stop.abort();
    }
  };
  try {
    for await (const chunk of planCorpus(run, { signal: either })) {
      const pending = embed(chunk).finally(() => inFlight.delete(pending));
      inFlight.add(pending);
      if (inFlight.size >= chunksInFlight) await Promise.race(inFlight);
    }
  } catch (error) {
    failure ??= { error };
    stop.abort();
  }
  await Promise.all(inFlight);
  if (failure) throw failure.error;
}
