// Finds the places where a text may be cut: before words and, preferably, before sentences, paragraphs and headings.

/** Kinds of places to cut a text, by preference: the larger the number, the better the place. */
export const breakStrength = { word: 0, sentence: 1, paragraph: 2, heading: 3 } as const;

/** See {@link breakStrength}. */
export type BreakStrength = (typeof breakStrength)[keyof typeof breakStrength];

/** A place before which a text may be cut: a position in UTF-16 code units. */
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
 * The words of a text: runs of characters between white space; in scripts that are written without spaces, the words
 * that `Intl.Segmenter` finds, with the punctuation that follows. A word with a break inside is cut there.
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

/** Length, in UTF-16 code units, of the parts into which a long word is cut. */
const charactersOfPart = 16;

/**
 * Cuts a word into smaller parts: a long word into parts of about 16 code units, a short one into graphemes, and a
 * single grapheme into code points.
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

/** Cuts a span before each of the positions `cuts`, which count from its start. */
function spansBetween({ start, end, strength }: WordSpan, cuts: readonly number[]): WordSpan[] {
  return [0, ...cuts].map((cut, index) => ({
    start: start + cut,
    end: index < cuts.length ? start + cuts[index]! : end,
    strength: index === 0 ? strength : breakStrength.word,
  }));
}

/**
 * Finds where sentences, paragraphs and headings begin. Paragraphs begin after blank lines, headings follow Markdown
 * (CommonMark 0.31, 4.2 and 4.3), and sentences follow UAX 29. List items, table rows and lines of code count as
 * sentences. A heading is not separated from the text that follows it.
 * @returns the breaks, in ascending order
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

/** Joins lines into blocks, which end at a blank line, a heading, a list item or a line of code. */
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
      const strengthOfBlock = isHeading
        ? breakStrength.heading
        : afterBlank
          ? breakStrength.paragraph
          : breakStrength.sentence;
      block = { start, end: start, strength: afterHeading ? breakStrength.word : strengthOfBlock };
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

/** Where the sentences of a block begin, except the first. Line breaks inside a block do not end a sentence. */
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

/**
 * Number of UTF-16 code units that are segmented at a time: the time of `Intl.Segmenter` grows with the square of the
 * length.
 */
const windowSize = 1024;

/**
 * Segments of a text (`Intl.Segmenter`), found window by window. Each window begins with the last segment of the one
 * before, which may have been cut.
 */
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
