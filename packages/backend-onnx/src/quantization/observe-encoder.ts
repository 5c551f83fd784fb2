// Runs a recorded graph over texts, tokenized and cut as the model's embedder does it.
import type { EncoderDefinition, SplitModel } from '@sentvec/architectures';
import { SentvecError, type Backend, type ModelFiles, type TokenBatch } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { loadOnnxRuntime } from '../onnx-runtime.ts';
import { startSessionThread } from '../session-thread.ts';
import { sharedModel } from '../shipped-model.ts';

/** What a graph is run over. */
export interface Observation {
  readonly model: ModelFiles;
  readonly definition: EncoderDefinition;
  readonly texts: readonly string[];
  readonly signal?: AbortSignal | undefined;
  /** @param texts how many are done */
  readonly onProgress?: ((texts: number) => void) | undefined;
}

/** Name of the weights of a graph; it is never written. */
export const weightsLocation = 'weights';

/** Tokens of a batch. */
const batchTokens = 1024;

/**
 * Runs a graph that has the inputs of the encoder over texts, in batches without padding.
 * @param onOutputs gets the outputs of each batch, and how many tokens it has
 */
export async function observeEncoder(
  graph: SplitModel,
  { model, definition, texts, signal, onProgress }: Observation,
  onOutputs: (outputs: Readonly<Record<string, Float32Array>>, tokens: number) => void,
): Promise<void> {
  await loadOnnxRuntime();
  let died: string | undefined;
  const thread = await startSessionThread(
    { ...sharedModel(graph, weightsLocation), device: 'cpu', pairs: false, threads: 1 },
    { onOutcome: () => {}, onDeath: (_, reason) => (died = reason) },
  );
  let observed = Promise.resolve();
  const observe = async (batch: TokenBatch): Promise<void> => {
    for (const each of withoutPadding(batch)) {
      if (died !== undefined) throw new SentvecError('backend-failed', died);
      onOutputs(await thread.outputs(each), each.rows * each.cols);
    }
  };
  const { hiddenSize, maxPositions, vocabularySize } = definition;
  // A stub encoder that only records its input: the texts as the embedder tokenizes and cuts them.
  const observer: Backend = {
    specificationVersion: 1,
    name: 'observer',
    isAvailable: async () => ({ available: true, device: 'cpu' }),
    load: async () => ({
      hiddenSize,
      maxPositions,
      vocabularySize,
      concurrency: 1,
      batchTokens,
      async encode(batch) {
        // One batch after the other: another order would change the sums by rounding.
        observed = observed.then(() => observe(batch));
        await observed;
        const rows = batch.rows * batch.cols;
        return { data: new Float32Array(rows * hiddenSize), rows, cols: hiddenSize };
      },
      dispose: async () => {},
    }),
  };
  try {
    const embedder = await loadEmbedder(model, { backend: observer, selfCheck: false, signal, onWarning: () => {} });
    try {
      await embedder.embed(texts, { signal, onProgress: ({ rows }) => onProgress?.(rows) });
    } finally {
      await embedder.dispose();
    }
  } finally {
    await thread.close();
  }
}

/** The texts of a batch, those of equal length together. */
function withoutPadding({ ids, mask, rows, cols }: TokenBatch): TokenBatch[] {
  const byLength = new Map<number, number[]>();
  for (let row = 0; row < rows; row += 1) {
    const length = mask.subarray(row * cols, (row + 1) * cols).reduce((sum, each) => sum + each, 0);
    byLength.set(length, [...(byLength.get(length) ?? []), row]);
  }
  byLength.delete(0);
  return [...byLength].map(([length, members]) => {
    const packed = new Int32Array(members.length * length);
    for (const [at, row] of members.entries()) packed.set(ids.subarray(row * cols, row * cols + length), at * length);
    return { ids: packed, mask: new Int32Array(packed.length).fill(1), rows: members.length, cols: length };
  });
}
