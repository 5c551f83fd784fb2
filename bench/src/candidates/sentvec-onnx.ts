import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import type { Candidate } from '../candidate.ts';

/** sentvec with default options. */
export const sentvecOnnx: Candidate = {
  name: 'sentvec',
  async open(directory) {
    const embedder = await loadEmbedder(directory, { backend: onnx() });
    return {
      embed: async (texts) => (await embedder.embed(texts)).vectors.data,
      close: () => embedder.dispose(),
    };
  },
};
