// onnxruntime, but the process is killed by a batch that holds a certain token, as by the system when memory runs out.
import { existsSync, rmSync } from 'node:fs';
import { onnx } from '@sentvec/backend-onnx';

/** Ids of the tiny model: `arsenic` has the first, and no other text of these tests has it. */
const fatal = new Set(JSON.parse(process.env.FATAL_IDS ?? '[]'));

/** @param options `once`: a file; while it is there, the next batch removes it and kills the process */
export default function crashingBackend({ once } = {}) {
  const backend = onnx({ sessions: 1, threadsPerSession: 1 });
  return {
    ...backend,
    async load(files, options) {
      const encoder = await backend.load(files, options);
      const encode = async (batch, encodeOptions) => {
        const isMarked = once !== undefined && existsSync(once);
        if (isMarked) rmSync(once);
        if (isMarked || batch.ids.some((id) => fatal.has(id))) process.kill(process.pid, 'SIGKILL');
        return encoder.encode(batch, encodeOptions);
      };
      const { hiddenSize, vocabularySize, maxPositions, concurrency, batchTokens } = encoder;
      const dispose = () => encoder.dispose();
      return { hiddenSize, vocabularySize, maxPositions, concurrency, batchTokens, encode, dispose };
    },
  };
}
