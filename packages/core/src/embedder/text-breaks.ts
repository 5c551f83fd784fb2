// Finds the places where a text may be cut: before words and, preferably, before sentences, paragraphs and headings.

/** How good a place to cut a text is: the larger, the better. */
export const breakStrength = { word: 0, sentence: 1, paragraph: 2, heading: 3 } as const;

/** See {@link breakStrength}. */
export type BreakStrength = (typeof breakStrength)[keyof typeof breakStrength];

/** A position in a text, in UTF-16 units, before which it may be cut. */
export interface TextBreak {
  readonly at: number;
  readonly strength: BreakStrength;
}

/** A word of a text: `text.slice(start, end)`, without white space. */
export interface WordSpan {
  readonly start: number;
  readonly end: number;
  /** Of the cut before it. */
  readonly strength: BreakStrength;
}

/**
 * The words of a text: what is between white space; in scripts that are written without it, words as Unicode segments
 * them, with the punctuation that follows. A word that a break falls into is cut there.
 * @param breaks in ascending order
 */
export function wordsOf(text: string, breaks: readonly TextBreak[] = []): WordSpan[] {
  const words: WordSpan[] = [];
  let next = 0;
  for (const { index, 0: run } of text.matchAll(/\S+/gu)) {
    const end = index + run.length;
    let strength: BreakStrength = breakStrength.word;
    for (; next < breaks.length && breaks[next]!.at <= index; next += 1) strength = breaks[next]!.strength;
    let start = index;
    for (; next < breaks.length && breaks[next]!.at < end; next += 1) {
      addWords(words, text, { start, end: breaks[next]!.at, strength });
      ({ at: start, strength } = breaks[next]!);
    }
    addWords(words, text, { start, end, strength });
  }
  return words;
}

const writtenWithoutSpaces = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmr}\p{sc=Mymr}]/u;

function addWords(words: WordSpan[], text: string, span: WordSpan): void {
  const run = text.slice(span.start, span.end);
  if (!writtenWithoutSpaces.test(run)) return void words.push(span);
  const starts = segmentsOf(run, 'word').flatMap(({ index, isWordLike }) => (isWordLike && index > 0 ? [index] : []));
  for (const word of spansBetween(span, starts)) words.push(word);
}

/** Characters of a part of a word that is cut. */
const charactersOfPart = 16;

/**
 * A word in smaller parts: some characters at a time, a word that is no longer than that in single characters as people
 * see them, and one of these in code points.
 * @returns the word itself when it is one code point
 */
export function partsOf(text: string, word: WordSpan): WordSpan[] {
  const run = text.slice(word.start, word.end);
  const characters = segmentsOf(run, 'grapheme').map(({ index }) => index);
  if (characters.length === 1) return spansBetween(word, codePointStarts(run));
  const starts = characters.filter((start, at) => {
    const before = characters[at - 1] ?? 0;
    return Math.floor(start / charactersOfPart) > Math.floor(before / charactersOfPart);
  });
  return spansBetween(word, starts.length > 0 ? starts : characters.slice(1));
}

function codePointStarts(run: string): number[] {
  const starts: number[] = [];
  for (let at = 0; at < run.length; at += run.codePointAt(at)! > 0xffff ? 2 : 1) if (at > 0) starts.push(at);
  return starts;
}

/** A span that is cut before each of some positions, counted from its start. */
function spansBetween({ start, end, strength }: WordSpan, cuts: readonly number[]): WordSpan[] {
  return [0, ...cuts].map((cut, index) => ({
    start: start + cut,
    end: index < cuts.length ? start + cuts[index]! : end,
    strength: index === 0 ? strength : breakStrength.word,
  }));
}

/**
 * Where sentences, paragraphs and headings begin: paragraphs after blank lines, headings as Markdown writes them
 * (CommonMark 0.31, 4.2 and 4.3), sentences as Unicode segments them (UAX 29), items of lists, rows of tables and lines
 * of code as sentences. What follows a heading is not cut from it.
 * @returns in ascending order
 */
export function sentenceBreaks(text: string): TextBreak[] {
  const breaks: TextBreak[] = [];
  for (const { start, end, strength } of blocksOf(text)) {
    breaks.push({ at: start, strength });
    for (const at of sentenceStarts(text.slice(start, end)))
      breaks.push({ at: start + at, strength: breakStrength.sentence });
  }
  return breaks;
}

interface Block {
  readonly start: number;
  end: number;
  /** Of the cut before it. */
  readonly strength: BreakStrength;
}

const fence = /^(?:`{3,}|~{3,})/;
const headingLine = /^#{1,6}(?:\s|$)/;
const headingUnderline = /^(?:=+|-{2,})$/;
const ownLine = /^(?:[-*+•]\s|\d{1,9}[.)]\s|\||>)/;

/** Lines that belong together, joined until a blank line, a heading, an item of a list, or a line of code. */
function blocksOf(text: string): Block[] {
  const lines = Array.from(text.matchAll(/[^\r\n]+|\r\n?|\n/g), ({ index, 0: line }) => {
    const content = line.trim();
    return {
      content,
      start: index + line.length - line.trimStart().length,
      isBreak: line.startsWith('\r') || line === '\n',
    };
  });
  const blocks: Block[] = [];
  let block: Block | undefined;
  let fenceMark: string | undefined;
  let afterBlank = true;
  let afterHeading = false;
  let afterCode = false;
  let breaksInARow = 0;
  for (const [index, { content, start, isBreak }] of lines.entries()) {
    if (isBreak) breaksInARow += 1;
    if (isBreak || content === '') {
      afterBlank ||= breaksInARow > 1;
      continue;
    }
    breaksInARow = 0;
    const mark = fence.exec(content)?.[0];
    const isCode = fenceMark !== undefined || mark !== undefined;
    const below = lines[index + 2]?.content ?? '';
    const isUnderlined = afterBlank && headingUnderline.test(below) && lines[index + 1]!.isBreak;
    const isHeading = !isCode && (headingLine.test(content) || isUnderlined);
    const isUnderline = afterHeading && !afterBlank && headingUnderline.test(content);
    if (isUnderline && block) {
      block.end = start + content.length;
      continue;
    }
    if (!block || isHeading || isCode || afterBlank || afterHeading || afterCode || ownLine.test(content)) {
      const unglued = isHeading ? breakStrength.heading : afterBlank ? breakStrength.paragraph : breakStrength.sentence;
      block = { start, end: start, strength: afterHeading ? breakStrength.word : unglued };
      blocks.push(block);
    }
    block.end = start + content.length;
    if (fenceMark === undefined) fenceMark = mark;
    else if (mark?.startsWith(fenceMark)) fenceMark = undefined;
    afterBlank = false;
    afterHeading = isHeading;
    afterCode = isCode;
  }
  return blocks;
}

/** A title or an initial, whose full stop does not end a sentence though a capital letter follows. */
const abbreviation = /(?:^|[\s(])(?:\p{Lu}|Mr|Mrs|Ms|Dr|Prof|St)\.\s+$/u;

/** Where sentences of a block begin, its first one aside. Its line breaks do not end sentences. */
function sentenceStarts(block: string): number[] {
  const line = block.replaceAll(/[\r\n\u0085\u2028\u2029]/g, ' ');
  return segmentsOf(line, 'sentence').flatMap(({ index }) =>
    index > 0 && !abbreviation.test(line.slice(Math.max(0, index - 8), index)) ? [index] : [],
  );
}

interface Segment {
  readonly index: number;
  readonly isWordLike?: boolean | undefined;
}

/** Characters that are segmented at a time: the time of a segmenter grows with the square of the length. */
const windowSize = 1024;

/** Segments of a text (`Intl.Segmenter`), found in windows, each from the last segment of the one before. */
function segmentsOf(text: string, granularity: 'grapheme' | 'word' | 'sentence'): Segment[] {
  const segmenter = new Intl.Segmenter(undefined, { granularity });
  const segments: Segment[] = [];
  for (let start = 0; start < text.length;) {
    let found: Segment[] = [];
    let end = start;
    for (let size = windowSize; found.length < 2 && end < text.length; size *= 2) {
      end = Math.min(start + size, text.length);
      found = Array.from(segmenter.segment(text.slice(start, end)), ({ index, isWordLike }) => ({ index, isWordLike }));
    }
    // The last segment may go on beyond the window.
    const last = end < text.length ? found.pop()! : { index: text.length - start };
    for (const { index, isWordLike } of found) segments.push({ index: start + index, isWordLike });
    start += last.index;
  }
  return segments;
}
