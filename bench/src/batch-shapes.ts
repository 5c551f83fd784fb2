import { onnx } from '@sentvec/backend-onnx';
import type { Backend, Encoder } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import type { BatchShape } from './bare-products.ts';

/** The batches into which sentvec cuts texts, and the tokens in them. */
export interface CutTexts {
  readonly batches: readonly BatchShape[];
  /** Padding not counted. */
  readonly tokens: number;
}

/** Embeds the texts and notes the batches that reach the encoder. */
export async function cutTexts(directory: string, texts: readonly string[]): Promise<CutTexts> {
  const batches: BatchShape[] = [];
  const embedder = await loadEmbedder(directory, { backend: noting(onnx(), batches), selfCheck: false });
  const { receipt } = await embedder.embed(texts);
  await embedder.dispose();
  return { batches, tokens: receipt.tokens };
}

function noting(backend: Backend, batches: BatchShape[]): Backend {
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
