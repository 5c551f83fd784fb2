import { availableParallelism } from 'node:os';
import { basename, dirname } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import type { Candidate } from '../candidate.ts';

/** Texts of a call, as the documentation of `@huggingface/transformers` and most of its users do it. */
const batchSize = 32;

/** `@huggingface/transformers` as a user gets it: batches of 32 in the order of the texts, float32. */
export const transformersJs: Candidate = withSessionOptions('transformers.js', {});

/** The same, told to use all cores: onnxruntime by itself does not find all of them on every virtual machine. */
export const transformersJsAllCores: Candidate = withSessionOptions('transformers.js, all cores', {
  intraOpNumThreads: availableParallelism(),
});

/** The same on `onnx/model_int8.onnx`. */
export const transformersJsInt8: Candidate = withSessionOptions(
  'transformers.js, all cores, the same int8 file',
  { intraOpNumThreads: availableParallelism() },
  'int8',
);

function withSessionOptions(
  name: string,
  sessionOptions: { readonly intraOpNumThreads?: number },
  dtype: 'fp32' | 'int8' = 'fp32',
): Candidate {
  return {
    name,
    async open(directory) {
      env.allowRemoteModels = false;
      env.localModelPath = dirname(directory);
      const extract = await pipeline('feature-extraction', basename(directory), {
        dtype,
        device: 'cpu',
        session_options: sessionOptions,
      });
      return {
        embed: async (texts) => {
          const batches: Float32Array[] = [];
          for (let first = 0; first < texts.length; first += batchSize) {
            const output = await extract(texts.slice(first, first + batchSize), { pooling: 'mean', normalize: true });
            batches.push(output.data as Float32Array);
          }
          return concatenate(batches);
        },
        close: async () => {
          await extract.dispose();
        },
      };
    },
  };
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
