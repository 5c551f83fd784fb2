import { availableParallelism } from 'node:os';
import { basename, dirname } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import type { Candidate } from '../candidate.ts';

/** Texts per call. Most users and the documentation of `@huggingface/transformers` use fixed batches of this size. */
const usualBatchSize = 32;

/** `@huggingface/transformers` with default options: float32, batches of 32 in the order of the texts. */
export const transformersJs: Candidate = withSessionOptions('transformers.js', {});

/**
 * transformers.js with the number of threads set to all cores, because onnxruntime does not detect all of them on some
 * virtual machines.
 */
export const transformersJsAllCores: Candidate = withSessionOptions('transformers.js, all cores', {
  intraOpNumThreads: availableParallelism(),
});

/** The same with the batch size that is the fastest on the texts: tried when they are embedded for the first time. */
export const transformersJsBestBatch: Candidate = {
  name: 'transformers.js, all cores, its best batch size',
  async open(directory) {
    const extract = await openPipeline(directory, 'fp32', { intraOpNumThreads: availableParallelism() });
    let best: number | undefined;
    return {
      embed: async (texts) => {
        best ??= await fastestBatchSize(extract, texts);
        return embedInBatches(extract, texts, best);
      },
      close: async () => {
        await extract.dispose();
      },
    };
  },
};

/** transformers.js on all cores with `onnx/model_int8.onnx`. */
export const transformersJsInt8: Candidate = withSessionOptions(
  'transformers.js, all cores, the same int8 file',
  { intraOpNumThreads: availableParallelism() },
  'int8',
);

interface SessionOptions {
  readonly intraOpNumThreads?: number;
}

function withSessionOptions(name: string, options: SessionOptions, dtype: 'fp32' | 'int8' = 'fp32'): Candidate {
  return {
    name,
    async open(directory) {
      const extract = await openPipeline(directory, dtype, options);
      return {
        embed: (texts) => embedInBatches(extract, texts, usualBatchSize),
        close: async () => {
          await extract.dispose();
        },
      };
    },
  };
}

function openPipeline(directory: string, dtype: 'fp32' | 'int8', sessionOptions: SessionOptions) {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(directory);
  const options = { dtype, device: 'cpu', session_options: sessionOptions } as const;
  return pipeline('feature-extraction', basename(directory), options);
}

type Pipeline = Awaited<ReturnType<typeof openPipeline>>;

async function embedInBatches(extract: Pipeline, texts: readonly string[], batchSize: number): Promise<Float32Array> {
  const batches: Float32Array[] = [];
  for (let first = 0; first < texts.length; first += batchSize) {
    const output = await extract(texts.slice(first, first + batchSize), { pooling: 'mean', normalize: true });
    batches.push(output.data as Float32Array);
  }
  return concatenate(batches);
}

async function fastestBatchSize(extract: Pipeline, texts: readonly string[]): Promise<number> {
  const sample = texts.slice(0, 256);
  await embedInBatches(extract, sample, usualBatchSize);
  let best = { size: usualBatchSize, time: Infinity };
  for (const size of [1, 4, 8, 16, 32, 64]) {
    const started = performance.now();
    await embedInBatches(extract, sample, size);
    const time = performance.now() - started;
    if (time < best.time) best = { size, time };
  }
  return best.size;
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const result = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}
