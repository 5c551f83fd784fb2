// Evaluates how well vectors separate classes: by k-nearest-neighbour classification, and by a linear probe.
import { semanticSearch, type Matrix, type SimilarityFunction } from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';
import type { EmbedTexts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';
import { fitLinearProbe } from './linear-probe.ts';

/** Texts with the name of their class. */
export interface ClassifiedTexts {
  readonly texts: readonly string[];
  readonly classes: readonly string[];
}

/** Options of {@link evaluateClassification}. */
export interface ClassificationOptions {
  /** The k of k-nearest-neighbour classification. @default 5 */
  readonly neighbours?: number | undefined;
  /** @default 'cosine' */
  readonly similarity?: SimilarityFunction | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Evaluates how well the vectors of a frozen encoder separate classes: the accuracy of k-nearest-neighbour
 * classification, and that of a linear probe (multinomial logistic regression on the vectors), which is the `score`.
 * @param train texts that both classifiers are fitted on
 * @param test texts that both classifiers are tested on
 */
export async function evaluateClassification(
  embed: EmbedTexts,
  train: ClassifiedTexts,
  test: ClassifiedTexts,
  options: ClassificationOptions = {},
): Promise<Evaluation> {
  checkOptionNames('evaluateClassification()', options, { neighbours: true, similarity: true, signal: true });
  const { neighbours = 5, similarity = 'cosine', signal } = options;
  checkCount(neighbours, 'neighbours');
  const names = [...new Set(train.classes)].sort();
  const numberOf = new Map(names.map((name, number) => [name, number]));
  const numbers = train.classes.map((name) => numberOf.get(name)!);
  const [known, unknown] = [await embed(train.texts, { signal }), await embed(test.texts, { signal })];
  const accuracy = (guesses: readonly number[]) =>
    guesses.reduce((right, guess, i) => right + Number(names[guess] === test.classes[i]), 0) / guesses.length;
  const knn = accuracy(await nearestNeighbourClasses(known, numbers, unknown, neighbours, similarity));
  const probe = await fitLinearProbe(known, numbers, names.length, { signal });
  const linear = accuracy(await probe.predict(unknown));
  return { score: linear, metrics: { knn_accuracy: knn, linear_accuracy: linear } };
}

/** Predicts the most frequent class among the nearest neighbours; in a tie, the class of the nearest one. */
async function nearestNeighbourClasses(
  known: Matrix,
  classes: readonly number[],
  unknown: Matrix,
  topK: number,
  similarity: SimilarityFunction,
): Promise<number[]> {
  const hits = await semanticSearch(unknown, known, { topK, similarity });
  return hits.map((neighbours) => {
    const votes = new Map<number, number>();
    for (const { row } of neighbours) votes.set(classes[row]!, (votes.get(classes[row]!) ?? 0) + 1);
    return [...votes].reduce((best, vote) => (vote[1] > best[1] ? vote : best))[0];
  });
}
