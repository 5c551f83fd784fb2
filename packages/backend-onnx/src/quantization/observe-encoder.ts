// Runs a recorded graph over texts, which are tokenized and truncated like in the embedder of the model.
import type { EncoderDefinition, SplitModel } from '@sentvec/architectures';
import { SentvecError, type Backend, type ModelFiles, type TokenBatch } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { loadOnnxRuntime } from '../onnx-runtime.ts';
import { startSessionThread } from '../session-thread.ts';
import { sharedModel } from '../shipped-model.ts';

/** The model and the texts for a run of a graph. */
export interface Observation {
  readonly model: ModelFiles;
  readonly definition: EncoderDefinition;
  readonly texts: readonly string[];
  readonly signal?: AbortSignal | undefined;
  /** @param texts the number of texts that are done */
  readonly onProgress?: ((texts: number) => void) | undefined;
}

/** The file name of the weights of a graph. The file is never written. */
export const weightsLocation = 'weights';

/** The number of tokens of a batch. */
const batchTokens = 1024;

/**
 * Runs a graph with the inputs of the encoder over texts, in batches without padding.
 * @param onOutputs is called with the outputs and the number of tokens of each batch
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
  // A fake encoder that receives the batches as the embedder tokenizes and truncates them.
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
        // Batches are observed one after the other, because another order would change the rounding of sums.
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

/** Splits a batch into batches of texts with equal length. */
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
