// Makes pairs or triplets from texts with classes, so that losses with in-batch negatives can train on them.
import { SentvecError } from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';
import { Random } from '../random.ts';
import type { ExampleTable } from './samplers.ts';

/** Options of {@link examplesOfClasses}. */
export interface ExamplesOfClassesOptions {
  /**
   * `pairs`: a text and another text of its class. `triplets`: the same, plus a text of another class.
   * @default 'pairs'
   */
  readonly make?: 'pairs' | 'triplets' | undefined;
  /** How many examples each text begins; fewer if its class has fewer other texts. @default 4 */
  readonly perText?: number | undefined;
  /** Seed of the random choice of texts. @default 42 */
  readonly seed?: number | undefined;
}

/**
 * Makes pairs or triplets from texts with classes. The sampler `noDuplicates` puts no class into two examples of a
 * batch, so in-batch negatives are never of the anchor's class. A batch therefore has at most as many examples as there
 * are classes.
 * @param classes the class of each text
 * @throws SentvecError `invalid-argument`; `invalid-corpus` when there are fewer than two classes, or none has two
 * texts
 */
export function examplesOfClasses(
  texts: readonly string[],
  classes: ArrayLike<number | string>,
  options: ExamplesOfClassesOptions = {},
): ExampleTable {
  checkOptionNames('examplesOfClasses()', options, { make: true, perText: true, seed: true });
  const { make = 'pairs', perText = 4, seed = 42 } = options;
  checkCount(perText, 'perText');
  if (classes.length !== texts.length)
    throw new SentvecError(
      'invalid-argument',
      `There are ${classes.length} class labels for ${texts.length} texts. Give each text one class label.`,
    );
  const members = membersOf(texts, classes);
  const names = [...members.keys()];
  if (names.length < 2)
    throw new SentvecError(
      'invalid-corpus',
      'All texts have the same class. Pairs and triplets need texts of at least two classes.',
    );
  const random = new Random(seed);
  const rows: string[][] = [];
  const distinct: string[][] = [];
  for (const [name, own] of members) {
    for (const [index, text] of own.entries()) {
      const others = random.shuffle(own.filter((_, other) => other !== index)).slice(0, perText);
      for (const positive of others) {
        if (make === 'pairs') {
          rows.push([text, positive]);
          distinct.push([name]);
          continue;
        }
        const foreign = names[(names.indexOf(name) + 1 + random.below(names.length - 1)) % names.length]!;
        const candidates = members.get(foreign)!;
        rows.push([text, positive, candidates[random.below(candidates.length)]!]);
        distinct.push([name, foreign]);
      }
    }
  }
  if (rows.length === 0)
    throw new SentvecError(
      'invalid-corpus',
      'No class has two different texts, so no pair can be made. Add texts to the classes.',
    );
  const columns = Array.from({ length: make === 'pairs' ? 2 : 3 }, (_, column) => rows.map((row) => row[column]!));
  return { columns, distinct };
}

/** The different texts of each class, by its name. */
function membersOf(texts: readonly string[], classes: ArrayLike<number | string>): Map<string, readonly string[]> {
  const members = new Map<string, Set<string>>();
  for (const [row, text] of texts.entries()) {
    const name = String(classes[row]);
    members.set(name, (members.get(name) ?? new Set()).add(text));
  }
  return new Map([...members].map(([name, own]) => [name, [...own]]));
}
