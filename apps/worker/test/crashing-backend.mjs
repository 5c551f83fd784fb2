// An onnxruntime backend that kills its process (SIGKILL, like the kernel when memory runs out) on a certain token.
import { existsSync, rmSync } from 'node:fs';
import { onnx } from '@sentvec/backend-onnx';

/** Token ids of the tiny model. Only the text `arsenic` has the first one in these tests. */
const fatal = new Set(JSON.parse(process.env.FATAL_IDS ?? '[]'));

/** @param options `once`: path of a file; if it exists, the next batch deletes it and kills the process */
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
