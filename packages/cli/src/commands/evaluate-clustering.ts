import type { Command } from '../command.ts';
import { evaluationCommand } from '../evaluation/evaluation-command.ts';

export const evaluateClustering: Command = evaluationCommand({
  name: 'clustering',
  summary: 'Do texts of a class fall into one cluster? (v-measure of k-means)',
  files: 'CSV, TSV, JSON lines or Parquet: a text and its class.',
  columns: ['text', 'label'],
  count: [1, 1],
  example: {
    line: 'sentvec evaluate clustering intents.csv --columns text,category',
    does: 'Homogeneity, completeness and their mean',
  },
  async evaluate(embed, [table]) {
    const { evaluateClustering: evaluate } = await import('@sentvec/training');
    const [texts = [], classes = []] = table ?? [];
    return evaluate(embed, { texts, classes });
  },
});
