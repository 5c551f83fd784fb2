import { onnx } from '@sentvec/backend-onnx';
import type { Backend, Encoder } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import type { BatchShape } from './bare-products.ts';

/** The batches into which sentvec splits texts, and the tokens in them. */
export interface RecordedBatches {
  readonly batches: readonly BatchShape[];
  /** Padding not counted. */
  readonly tokens: number;
}

/** Embeds the texts and records the batches that reach the encoder. */
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
