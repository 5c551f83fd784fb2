import { existsSync, readFileSync } from 'node:fs';
import { readSynsets, type Synset } from '@sentvec/example-wordnet';
import { lossFromName, Random, type TrainingSet } from '@sentvec/training';

/**
 * The loss for all pairs, with in-batch negatives. The columns are anchors, positives and optionally hard negatives.
 */
const ranking = lossFromName('MultipleNegativesRankingLoss');

function setOf(name: string, rows: readonly (readonly string[])[]): TrainingSet {
  const width = rows[0]?.length ?? 0;
  return {
    name,
    loss: ranking,
    examples: { columns: Array.from({ length: width }, (_, column) => rows.map((row) => row[column]!)) },
  };
}

/** Returns the definitions and example sentences of WordNet. */
export async function wordNetSentences(): Promise<string[]> {
  return (await readSynsets()).flatMap(({ definition, examples }) => [definition, ...examples]);
}

/**
 * Returns pairs of texts with the same meaning from WordNet: words and their definition, two words of a synset, and an
 * example with the same example reworded with another word of the synset.
 */
export async function wordNetPairs(seed: number): Promise<TrainingSet[]> {
  const synsets = await readSynsets();
  const random = new Random(seed);
  const another = (words: readonly string[], word: string) => {
    const others = words.filter((each) => each !== word);
    return others[random.below(Math.max(1, others.length))];
  };
  const definitions = synsets.filter(({ definition }) => definition !== '');
  return [
    setOf(
      'WordNet: words, definition',
      definitions.map(({ words, definition }) => [words.slice(0, 4).join(', '), definition]),
    ),
    setOf(
      'WordNet: word, synonym',
      synsets.flatMap(({ words }) => (words.length < 2 ? [] : [[words[0]!, another(words, words[0]!)!]])),
    ),
    setOf(
      'WordNet: example, example with a synonym',
      synsets.flatMap((synset) => synset.examples.flatMap((example) => reworded(example, synset, another))),
    ),
  ];
}

function reworded(
  example: string,
  { words }: Synset,
  another: (words: readonly string[], word: string) => string | undefined,
): string[][] {
  const found = words.find((word) => example.toLowerCase().includes(word.toLowerCase()));
  const other = found === undefined ? undefined : another(words, found);
  if (found === undefined || other === undefined) return [];
  const at = example.toLowerCase().indexOf(found.toLowerCase());
  return [[example, example.slice(0, at) + other + example.slice(at + found.length)]];
}

/** Reads triplets of premise, entailment and contradiction from SNLI. Returns none if the file is missing. */
export function snliTriplets(file: string): TrainingSet[] {
  if (!existsSync(file)) return [];
  const premises = new Map<string, { entailment: string[]; contradiction: string[] }>();
  for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
    const { premise, hypothesis, label } = JSON.parse(line) as { premise: string; hypothesis: string; label: string };
    const found = premises.get(premise) ?? { entailment: [], contradiction: [] };
    premises.set(premise, found);
    if (label === 'entailment' || label === 'contradiction') found[label].push(hypothesis);
  }
  const rows = [...premises].flatMap(([premise, { entailment, contradiction }]) =>
    entailment.flatMap((positive, i) =>
      contradiction[i] === undefined ? [] : [[premise, positive, contradiction[i]]],
    ),
  );
  return [setOf('SNLI: premise, entailment, contradiction', rows)];
}
