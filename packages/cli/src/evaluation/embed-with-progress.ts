import type { Embedder } from '@sentvec/core';
import type { EmbedTexts } from '@sentvec/training';
import { embeddingProgress } from '../progress.ts';

/**
 * What evaluators are given, from a model: texts to vectors, with a bar. The caller's prompt is put before every text.
 */
export function embedWithProgress(embedder: Embedder, signal: AbortSignal, prompt: string | undefined): EmbedTexts {
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
