/** Dimension of the stub's vectors. */
const dimension = 2;

/**
 * Creates a stub embedder, which waits instead of computing. The simulation measures the code around the model, which
 * does not depend on the values of the vectors.
 *
 * @param embedding called with the texts of each chunk and an abort signal; the vectors are returned when it resolves
 */
export function standInEmbedder(embedding) {
  const parts = {
    weights: 'stand-in',
    tokenizer: 'none',
    pooling: 'mean',
    projections: 'none',
    prompt: 'none',
    dimension: String(dimension),
  };
  return {
    model: { name: 'stand-in', list: async () => [], read: async () => new Uint8Array() },
    dimension,
    maxLength: 512,
    encoder: { hiddenSize: dimension, maxPositions: 512, concurrency: 1, batchTokens: 512 },
    prompts: {},
    defaultPrompt: undefined,
    similarityFunction: 'cosine',
    async embed(texts, { signal } = {}) {
      await embedding(texts, signal);
      const data = Float32Array.from({ length: texts.length * dimension }, () => 1);
      const receipt = { rows: texts.length, tokens: texts.length, truncated: [], paddingWaste: 0, milliseconds: 1 };
      return {
        vectors: { data, rows: texts.length, cols: dimension },
        receipt: { ...receipt, fingerprint: '', prompt: undefined, notes: [] },
      };
    },
    fingerprint: async () => ({ hash: 'stand-in', parts }),
    dispose: async () => {},
  };
}
