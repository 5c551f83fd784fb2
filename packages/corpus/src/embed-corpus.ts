import type { Readable } from 'node:stream';
import type { Embedder } from '@sentvec/core';
import type { CorpusChunk } from './chunk.ts';
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
  /** What the input `-` reads. Default: the standard input of this process. */
  readonly standardInput?: Readable | undefined;
}

/**
 * Chunks that are worked on at once: while the last batches of one are computed, those of the next keep the backend
 * busy, and shards are written meanwhile.
 */
const chunksInFlight = 2;

/**
 * Embeds a corpus in this process: a few chunks at a time, in constant memory. After an abort or an error the output
 * folder holds the finished shards and a manifest that is not complete; the same request with `resume` goes on from
 * there.
 *
 * @throws SentvecError see {@link prepareCorpus}, {@link planCorpus}, {@link embedChunk}
 */
export async function embedCorpus(
  request: CorpusRequest,
  embedder: Embedder,
  options: EmbedCorpusOptions = {},
): Promise<Manifest> {
  const { signal, standardInput } = options;
  const progress = new CorpusProgress(options.onProgress);
  const prepared = await prepareCorpus(request, embedder, {
    signal,
    standardInput,
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
      const flight = embed(chunk).finally(() => inFlight.delete(flight));
      inFlight.add(flight);
      if (inFlight.size >= chunksInFlight) await Promise.race(inFlight);
    }
  } catch (error) {
    failure ??= { error };
    stop.abort();
  }
  await Promise.all(inFlight);
  if (failure) throw failure.error;
}
