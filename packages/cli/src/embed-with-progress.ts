import type { Embedder } from '@sentvec/core';
import type { EmbedTexts } from '@sentvec/training';
import { embeddingProgress } from './progress.ts';

/**
 * The function by which evaluators embed texts, with a bar.
 *
 * @param prompt name of one of the model's prompts, put before every text
 */
export function embedWithProgress(embedder: Embedder, signal: AbortSignal, prompt?: string): EmbedTexts {
  return async (texts) => {
    const progress = await embeddingProgress();
    try {
      const { vectors } = await embedder.embed(texts, {
        prompt,
        signal,
        onProgress: ({ rows, tokens }) => progress.update({ rows, tokens, fraction: rows / texts.length }),
      });
      return vectors;
    } finally {
      progress.stop();
    }
  };
}
