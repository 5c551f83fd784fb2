import type { Command } from '../command.ts';
import { evaluationCommand } from '../evaluation/evaluation-command.ts';

export const evaluateTriplet: Command = evaluationCommand({
  name: 'triplet',
  summary: 'How often is the positive nearer to the anchor than the negative is?',
  files: 'CSV, TSV, JSON lines or Parquet: an anchor, a positive, a negative.',
  columns: ['anchor', 'positive', 'negative'],
  count: [1, 1],
  example: {
    line: 'sentvec evaluate triplet triplets.jsonl --model ./my-model',
    does: 'The share of triplets in the right order',
  },
  async evaluate(embed, [table], embedder) {
    const { evaluateTriplets } = await import('@sentvec/training');
    const [anchors = [], positives = [], negatives = []] = table ?? [];
    return evaluateTriplets(embed, { anchors, positives, negatives }, embedder.similarityFunction);
  },
});
