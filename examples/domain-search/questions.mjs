import { ancestry, readSynsets } from '@sentvec/example-wordnet';

/** The synset of WordNet for medicine, to which its terms belong. */
const topics = new Set([
  'ill health',
  'symptom',
  'medicine',
  'medical procedure',
  'medical science',
  'medical instrument',
  'body part',
  'body substance',
]);

/**
 * Questions and answers about medicine. An answer is a definition; it is asked for by each word that means it. Of every
 * meaning with several words one is kept back: `asked` is what a user will type, and nobody has ever asked it in those
 * words.
 */
export async function medicalQuestions() {
  const synsets = await readSynsets(['noun']);
  const paths = ancestry(synsets);
  const roots = new Set(synsets.filter(({ words }) => topics.has(words[0])).map(({ id }) => id));
  const medical = synsets.filter(
    ({ id, definition }) => definition !== '' && paths.get(id).some((ancestor) => roots.has(ancestor)),
  );
  const question = (word, row) => [`What is ${word}?`, `${word}: what does it mean?`, `Tell me about ${word}`][row % 3];
  const known = [];
  const asked = [];
  for (const { words, definition } of medical) {
    const keptBack = words.length > 1 ? words.at(-1) : undefined;
    for (const [row, word] of words.entries()) {
      (word === keptBack ? asked : known).push({ question: question(word, row), answer: definition });
    }
  }
  return { known, asked, answers: [...new Set(medical.map(({ definition }) => definition))] };
}
