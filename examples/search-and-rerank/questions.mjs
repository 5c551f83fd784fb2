// BANKING77 as a search: questions are answered by other questions of the same category.
import { readTable } from '@sentvec/corpus';
import { mineHardNegatives, Random } from '@sentvec/training';

/**
 * The questions in three parts that share none: of each category the first `asked` are queries, the next 40 are the
 * documents, and up to `trained` of those that follow are what models learn from.
 */
export async function readQuestions(file, { asked, trained }) {
  const { columns, classes } = await readTable({ file, columns: ['text'], label: 'category', labelKind: 'class' });
  const categories = new Map();
  for (const [row, text] of columns[0].entries()) {
    const category = classes[row];
    if (!categories.has(category)) categories.set(category, []);
    categories.get(category).push({ text, category });
  }
  const part = (from, to) => [...categories.values()].flatMap((questions) => questions.slice(from, to));
  return { queries: part(0, asked), documents: part(5, 45), others: part(45, 45 + trained) };
}

/**
 * Pairs of questions with 1 for the same category and 0 for another: for each question two of its own category, the
 * two nearest of other categories, and one at random.
 */
export async function trainingPairs(embedder, questions, seed) {
  const random = new Random(seed);
  const { vectors } = await embedder.embed(questions.map(({ text }) => text));
  const isPositive = (row, candidate) => questions[row].category === questions[candidate].category;
  const mined = await mineHardNegatives(vectors, vectors, { candidates: vectors, isPositive }, { negatives: 2 });
  return mined.flatMap(({ row, negatives }) => {
    const own = questions.flatMap((_, other) => (other !== row && isPositive(row, other) ? [other] : []));
    const foreign = questions.flatMap((_, other) => (isPositive(row, other) ? [] : [other]));
    const pair = (other, same) => ({ first: questions[row].text, second: questions[other].text, same });
    return [
      ...random
        .shuffle(own)
        .slice(0, 2)
        .map((other) => pair(other, 1)),
      ...negatives.map((other) => pair(other, 0)),
      pair(foreign[random.below(foreign.length)], 0),
    ];
  });
}
