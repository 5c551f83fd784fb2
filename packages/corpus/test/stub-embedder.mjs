import { setTimeout } from 'node:timers/promises';

/**
 * Takes the place of a model in processes of their own: vectors depend on the text alone.
 *
 * @param {{ dimension: number, milliseconds?: number }} options milliseconds: how long a call of embed takes at least
 */
export function stubEmbedder({ dimension, milliseconds = 0 }) {
  const parts = {
    weights: 'w',
    tokenizer: 't',
    pooling: 'p',
    projections: 'p',
    prompt: 'p',
    dimension: String(dimension),
  };
  return {
    model: { name: 'stub' },
    encoder: { hiddenSize: dimension, maxPositions: 512, concurrency: 1, batchTokens: 512 },
    similarityFunction: 'cosine',
    async embed(texts, { onProgress } = {}) {
      if (milliseconds > 0) await setTimeout(milliseconds);
      const data = new Float32Array(texts.length * dimension);
      for (const [row, text] of texts.entries()) {
        for (let col = 0; col < dimension; col += 1)
          data[row * dimension + col] = Math.sin(text.length + text.charCodeAt(text.length - 1) * (col + 1));
      }
      onProgress?.({ rows: texts.length, tokens: texts.length });
      const receipt = {
        rows: texts.length,
        tokens: texts.length,
        truncated: [],
        paddingWaste: 0,
        milliseconds: 0,
        fingerprint: 'f',
        notes: [],
      };
      return { vectors: { data, rows: texts.length, cols: dimension }, receipt };
    },
    fingerprint: async () => ({ hash: 'f', parts }),
  };
}
