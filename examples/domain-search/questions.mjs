import { ancestry, readSynsets } from '@sentvec/example-wordnet';

/** First words of the WordNet synsets whose descendants count as medical terms. */
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
 * Returns questions and answers about medicine. An answer is a definition, with one question per word that has this
 * meaning. If a meaning has several words, one is held out for the evaluation: the questions in `asked` use only
 * held-out words.
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
