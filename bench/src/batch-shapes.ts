import { onnx } from '@sentvec/backend-onnx';
import type { Backend, Encoder } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import type { BatchShape } from './bare-products.ts';

/** The shapes of the batches into which sentvec splits texts, and their number of tokens. */
export interface RecordedBatches {
  readonly batches: readonly BatchShape[];
  /** Number of tokens, without padding. */
  readonly tokens: number;
}

/** Embeds the texts and records the shapes of the batches that the encoder receives. */
export async function recordBatches(directory: string, texts: readonly string[]): Promise<RecordedBatches> {
  const batches: BatchShape[] = [];
  const embedder = await loadEmbedder(directory, { backend: recording(onnx(), batches), selfCheck: false });
  const { receipt } = await embedder.embed(texts);
  await embedder.dispose();
  return { batches, tokens: receipt.tokens };
}

function recording(backend: Backend, batches: BatchShape[]): Backend {
  return {
    specificationVersion: 1,
    name: backend.name,
    isAvailable: () => backend.isAvailable(),
    async load(model, options): Promise<Encoder> {
      const encoder = await backend.load(model, options);
      const { hiddenSize, maxPositions, concurrency, batchTokens, weightsFile } = encoder;
      return {
        hiddenSize,
        maxPositions,
        concurrency,
        batchTokens,
        weightsFile,
        encode: (batch, encodeOptions) => {
          batches.push({ rows: batch.rows, cols: batch.cols });
          return encoder.encode(batch, encodeOptions);
        },
        dispose: () => encoder.dispose(),
      };
    },
  };
}
