import { sentences } from '../moby-dick.ts';
import { shuffled } from '../random-numbers.ts';
import type { Workload } from '../workload.ts';

/** Sentences of about 14 tokens, like search queries, titles and utterances. */
export const shortSentences: Workload = {
  name: 'short',
  description: '2048 sentences of about 14 tokens',
  texts: async () => shuffled(sentences(4, 12), 1).slice(0, 2048),
};
