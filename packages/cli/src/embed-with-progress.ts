import type { Embedder, SpaceOptions } from '@sentvec/core';
import type { EmbedTexts } from '@sentvec/training';
import { embeddingProgress } from './progress.ts';

/**
 * Makes an embed function for evaluators that shows a progress bar.
 *
 * @param chosen the prompt, route and task of all texts; they override those of a text's role
 */
export function embedWithProgress(
  embedder: Embedder,
  signal: AbortSignal,
  { prompt, route, task }: Pick<SpaceOptions, 'prompt' | 'route' | 'task'> = {},
): EmbedTexts {
  return async (texts, { as, prompt: promptText } = {}) => {
    const progress = await embeddingProgress();
    try {
      const { vectors } = await embedder.embed(texts, {
        as,
        route,
        task,
        ...(promptText === undefined ? { prompt } : { promptText }),
        signal,
        onProgress: ({ rows, tokens }) => progress.update({ rows, tokens, fraction: rows / texts.length }),
      });
      return vectors;
    } finally {
      progress.stop();
    }
  };
}
