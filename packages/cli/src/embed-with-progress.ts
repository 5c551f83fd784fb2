import type { Embedder, SpaceOptions } from '@sentvec/core';
import type { EmbedTexts } from '@sentvec/training';
import { embeddingProgress } from './progress.ts';

/**
 * The function by which evaluators embed texts, with a bar.
 *
 * @param chosen what every text gets, whatever it is: a prompt of the model, a route, a task
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
