import { SentvecError, type Embedder } from '@sentvec/core';
import {
  CorpusProgress,
  readManifest,
  type CorpusProgressEvent,
  type CorpusRequest,
  type Manifest,
} from '@sentvec/corpus';
import { embedCorpusWorkflow, inProcessRuntime } from '@sentvec/workflow';

/** Options of {@link embedInProcess}. */
export interface EmbedInProcessOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (event: CorpusProgressEvent) => void;
}

/**
 * Runs the workflow that embeds a corpus in this process: the same one that `sentvec queue submit` gives to workers. A
 * person waits, so what fails is not tried again behind their back.
 */
export async function embedInProcess(
  request: CorpusRequest,
  embedder: Embedder,
  options: EmbedInProcessOptions,
): Promise<Manifest> {
  const progress = new CorpusProgress(options.onProgress);
  const workflow = embedCorpusWorkflow({
    embedder: async () => embedder,
    retry: { attempts: 1 },
    observer: {
      unpacked: (bytes) => progress.unpacked(bytes),
      prepared: (bytes) => progress.begin(bytes),
      advanced: (chunk, done) => progress.advance(chunk, done),
      finished: (result) => progress.finish(result),
    },
  });
  const { resume = false, ...rest } = request;
  const run = await inProcessRuntime().start(workflow, { model: embedder.model.name, request: { ...rest, resume } });
  const cancel = (): void => void run.cancel();
  options.signal.addEventListener('abort', cancel);
  if (options.signal.aborted) cancel();
  try {
    const { output } = await run.result();
    const manifest = await readManifest(output);
    if (manifest) return manifest;
    throw new SentvecError('invalid-output', `The manifest of ${output} was written and is gone.`, { file: output });
  } finally {
    options.signal.removeEventListener('abort', cancel);
  }
}
