import type { Command } from '../command.ts';
import { evaluationCommand } from '../evaluation/evaluation-command.ts';

export const evaluateClassification: Command = evaluationCommand({
  name: 'classification',
  summary: 'Do the vectors tell classes apart? (nearest neighbours and a linear probe)',
  files:
    'CSV, TSV, JSON lines or Parquet: a text and its class. First what is known, then what to judge by; of one file every fifth row judges.',
  columns: ['text', 'label'],
  count: [1, 2],
  example: {
    line: 'sentvec evaluate classification train.csv test.csv --columns text,category',
    does: 'Accuracy of both classifiers',
  },
  async evaluate(embed, [known, judge], embedder) {
    const { evaluateClassification: evaluate } = await import('@sentvec/training');
    const everyFifth = (_: string, row: number) => row % 5 === 4;
    const theOthers = (_: string, row: number) => row % 5 !== 4;
    const pick = (table: typeof known, keep?: (text: string, row: number) => boolean) => {
      const [texts = [], classes = []] = table ?? [];
      return keep ? { texts: texts.filter(keep), classes: classes.filter(keep) } : { texts, classes };
    };
    const train = judge ? pick(known) : pick(known, theOthers);
    const test = judge ? pick(judge) : pick(known, everyFifth);
    return evaluate(embed, train, test, { similarity: embedder.similarityFunction });
  },
});
