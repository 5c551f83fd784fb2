import {
  readTokenizerDefinition,
  splitBySentences,
  splitByTokens,
  type TextPiece,
  type Tokenizer,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { characterTokenizer } from './fake-parts.ts';

const textsOf = (pieces: readonly TextPiece[]): string[] => pieces.map(({ text }) => text);

/** Checks the offsets of the pieces, and that together they leave out only white space. */
function expectToCover(text: string, pieces: readonly TextPiece[]): void {
  let covered = 0;
  for (const { text: piece, start, end } of pieces) {
    expect(text.slice(start, end)).toBe(piece);
    expect(text.slice(covered, Math.max(covered, start)).trim()).toBe('');
    expect(end).toBeGreaterThan(covered);
    covered = end;
  }
  expect(text.slice(covered).trim()).toBe('');
}

const chapters = `# The sea
${'One wave came. Two waves went over the ship. '.repeat(3)}

${'A second paragraph speaks of the wind, at some length, and of nothing else. '.repeat(2)}

## Storms
They are loud.
`.repeat(3);

const sentence = 'The ship went on through the night, and nobody slept; the sea was calm. ';

describe.each(['tiny-bert', 'tiny-roberta', 'tiny-mpnet'])('pieces of a text for %s', (name) => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await nodeTokenizer('javascript')(await readTokenizerDefinition(goldenModel(name)));
  });
  afterAll(() => tokenizer.dispose());

  /** The number of tokens of each piece, including special tokens. */
  const lengths = async (pieces: readonly string[]): Promise<number[]> =>
    (await tokenizer.encode(pieces, { maxLength: 100_000 })).map(({ length }) => length);

  it.each([8, 20, 64])('have at most %d tokens and join to the text', async (maxLength) => {
    const text = sentence.repeat(12).trim();
    const found = await splitByTokens(text, { tokenizer, maxLength });
    const pieces = textsOf(found);
    expect(pieces.join(' ')).toBe(text);
    expectToCover(text, found);
    const counts = await lengths(pieces);
    const { prefix, suffix } = tokenizer.specialTokens;
    expect(found.map(({ tokens }) => tokens + prefix.length + suffix.length)).toEqual(counts);
    expect(Math.max(...counts)).toBeLessThanOrEqual(maxLength);
    // Each piece but the last is as long as possible: with the next word it would exceed the limit.
    for (const [index, piece] of pieces.slice(0, -1).entries()) {
      const [longer] = await lengths([`${piece} ${pieces[index + 1]!.split(' ')[0]}`]);
      expect(longer).toBeGreaterThan(maxLength);
    }
  });

  it('start with the end of the previous piece when they overlap', async () => {
    const words = Array.from({ length: 200 }, (_, index) => `w${index}`);
    const text = words.join(' ');
    const found = await splitByTokens(text, { tokenizer, maxLength: 40 }, { overlapTokens: 12 });
    expectToCover(text, found);
    const pieces = textsOf(found);
    const firsts = pieces.map((piece) => words.indexOf(piece.split(' ')[0]!));
    const lasts = pieces.map((piece) => words.indexOf(piece.split(' ').at(-1)!));
    for (const [index, first] of firsts.slice(1).entries()) {
      expect(first).toBeLessThanOrEqual(lasts[index]!);
      expect(first).toBeGreaterThan(firsts[index]!);
    }
    expect(lasts.at(-1)).toBe(199);
  });

  it('split a word that does not fit between characters', async () => {
    const word = '👩‍🚀abcdefghij'.repeat(30);
    const text = `before ${word} after`;
    const found = await splitByTokens(text, { tokenizer, maxLength: 16 });
    expectToCover(text, found);
    const pieces = textsOf(found);
    expect(pieces.join('').replaceAll(' ', '')).toBe(`before${word}after`);
    expect(pieces.some((piece) => /\p{Surrogate}/u.test(piece))).toBe(false);
    expect(Math.max(...(await lengths(pieces)))).toBeLessThanOrEqual(16);
  });

  it.each([20, 32, 60])('by sentences have at most %d tokens and never end with a heading', async (maxLength) => {
    const found = await splitBySentences(chapters, { tokenizer, maxLength }, { overlapTokens: 3 });
    expectToCover(chapters, found);
    expect(Math.max(...(await lengths(textsOf(found))))).toBeLessThanOrEqual(maxLength);
    // No piece ends with a heading whose text is in the next piece.
    for (const { text } of found) expect(text).not.toMatch(/(?:^|\n)#.*$/);
  });

  it('fit together with a prompt', async () => {
    const text = sentence.repeat(6);
    const found = await splitByTokens(text, { tokenizer, maxLength: 20 }, { promptText: 'to find: ' });
    expectToCover(text, found);
    expect(Math.max(...(await lengths(textsOf(found).map((piece) => `to find: ${piece}`))))).toBe(20);
  });

  it.each(['query: ', 'un', ' ', 'title:\n'])(
    'cover the whole text with the prompt %j, also when prompt and text share a token',
    async (promptText) => {
      for (const text of ['a', 'able', '"', '. \n\n# Storms\n\n a', `${sentence}" ${sentence}`])
        for (const split of [splitByTokens, splitBySentences]) {
          const found = await split(text, { tokenizer, maxLength: 24 }, { promptText });
          expectToCover(text, found);
          expect(Math.min(...found.map(({ tokens }) => tokens))).toBeGreaterThan(0);
        }
      const [piece] = await splitByTokens('sea', { tokenizer, maxLength: 24 }, { promptText: 'query: ' });
      const [both, prompt] = await lengths(['query: sea', 'query:']);
      expect(piece!.tokens).toBe(both! - prompt!);
    },
  );

  it('of a text without words are an empty list', async () => {
    expect(await splitByTokens(' \n\t ', { tokenizer, maxLength: 16 })).toEqual([]);
  });

  it('are refused for a maxLength or overlap without room for text, and for an aborted signal', async () => {
    await expect(splitByTokens('text', { tokenizer, maxLength: 2 })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    await expect(splitByTokens('text', { tokenizer, maxLength: 10 }, { overlapTokens: 8 })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    await expect(
      splitByTokens('text', { tokenizer, maxLength: 10 }, { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({
      code: 'aborted',
    });
  });
});

describe('an overlap with a tokenizer of one token for each word', () => {
  /** A tokenizer with one token for each word. */
  const tokenizer: Tokenizer = {
    ...characterTokenizer(),
    specialTokens: { prefix: [], suffix: [] },
    encode: async (texts) =>
      texts.map((text) => {
        const length = text.split(' ').filter((word) => word !== '').length;
        return { ids: new Int32Array(length), length, truncated: false };
      }),
  };
  const text = 'a b c d e f g h i j';

  it.each([
    [0, ['a b c d e', 'f g h i j']],
    [1, ['a b c d e', 'e f g h i', 'i j']],
    [2, ['a b c d e', 'd e f g h', 'g h i j']],
    [4, ['a b c d e', 'b c d e f', 'c d e f g', 'd e f g h', 'e f g h i', 'f g h i j']],
  ])('of %d tokens is kept exactly', async (overlapTokens, pieces) => {
    expect(textsOf(await splitByTokens(text, { tokenizer, maxLength: 5 }, { overlapTokens }))).toEqual(pieces);
  });
});

it('an overlap that leaves no room for the next word is dropped', async () => {
  /** A tokenizer with one token for each letter. */
  const letters: Tokenizer = {
    ...characterTokenizer(),
    specialTokens: { prefix: [], suffix: [] },
    encode: async (texts) =>
      texts.map((each) => {
        const length = each.replaceAll(' ', '').length;
        return { ids: new Int32Array(length), length, truncated: false };
      }),
  };
  const pieces = await splitByTokens('a bb ccccc d', { tokenizer: letters, maxLength: 5 }, { overlapTokens: 4 });
  expect(textsOf(pieces)).toEqual(['a bb', 'ccccc', 'd']);
});

it('a long text without spaces is split between its words', async () => {
  const characters: Tokenizer = {
    ...characterTokenizer(),
    specialTokens: { prefix: [], suffix: [] },
    encode: async (texts) =>
      texts.map(({ length }) => ({ ids: new Int32Array(Math.min(length, 8)), length, truncated: false })),
  };
  // So many words exceed the number of arguments that a function call can have.
  const text = '我们'.repeat(150_000);
  const pieces = await splitByTokens(text, { tokenizer: characters, maxLength: 100_000 });
  expect(pieces.map(({ tokens }) => tokens)).toEqual([100_000, 100_000, 100_000]);
});

describe('sentences and headings', () => {
  /** A tokenizer with one token for each letter or digit, and none for other characters. */
  const tokenizer: Tokenizer = {
    ...characterTokenizer(),
    specialTokens: { prefix: [], suffix: [] },
    encode: async (texts) =>
      texts.map((text) => {
        const length = text.match(/[\p{L}\p{N}]/gu)?.length ?? 0;
        return { ids: new Int32Array(length), length, truncated: false };
      }),
  };
  const split = async (text: string, maxLength: number, overlapTokens = 0): Promise<string[]> => {
    const pieces = await splitBySentences(text, { tokenizer, maxLength }, { overlapTokens });
    expectToCover(text, pieces);
    return textsOf(pieces);
  };

  it('are packed into pieces; a sentence that is too long is split between words', async () => {
    expect(await split('Aa bb. Cc dd! Ee ff? Gg.', 8)).toEqual(['Aa bb. Cc dd!', 'Ee ff? Gg.']);
    expect(await split('Aa bb cc dd ee ff. Gg hh.', 8)).toEqual(['Aa bb cc dd', 'ee ff. Gg hh.']);
  });

  it('do not end at a line break, a title (Dr.) or an initial', async () => {
    expect(await split('Aaa\nbbb. Ccc\r\nddd.', 6)).toEqual(['Aaa\nbbb.', 'Ccc\r\nddd.']);
    expect(await split('We saw Dr. Smith. He met J. R. Roe.', 13)).toEqual(['We saw Dr. Smith.', 'He met J. R. Roe.']);
  });

  it('are found in texts without spaces', async () => {
    expect(await split('她来了。你呢？我们一起去学校吧', 4)).toEqual([
      '她来了。',
      '你呢？',
      '我们',
      '一起去',
      '学校吧',
    ]);
    expect(await split('สวัสดีชาวโลก', 8)).toEqual(['สวัสดีชาว', 'โลก']);
  });

  it('are kept together with their paragraph or heading when those fit', async () => {
    expect(await split('Aa. Bb.\n\nCc. Dd.\n\nEe. Ff.', 10)).toEqual(['Aa. Bb.\n\nCc. Dd.', 'Ee. Ff.']);
    expect(await split('Aa. Bb.\n \t\nCc. Dd.\n\u00a0\nEe. Ff.', 10)).toEqual(['Aa. Bb.\n \t\nCc. Dd.', 'Ee. Ff.']);
    const markdown = 'Intro.\n\n# One\nAaaa. Bbbb.\n\nTwo\n===\n\n## Three\nCccc. Dddd.';
    expect(await split(markdown, 16)).toEqual(['Intro.\n\n# One\nAaaa. Bbbb.', 'Two\n===\n\n## Three\nCccc. Dddd.']);
    expect(await split(markdown, 12)).toEqual(['Intro.', '# One\nAaaa. Bbbb.', 'Two\n===\n\n## Three\nCccc.', 'Dddd.']);
    expect(await split('```\n# a comment\n```\nText.', 9)).toEqual(['```\n# a comment\n```', 'Text.']);
    expect(await split('- aaa bbb\n- ccc ddd\n- eee', 9)).toEqual(['- aaa bbb', '- ccc ddd\n- eee']);
  });

  it('overlap by whole sentences, and not across a heading', async () => {
    expect(await split('Aa. Bb. Cc. Dd. Ee.', 6, 3)).toEqual(['Aa. Bb. Cc.', 'Cc. Dd. Ee.']);
    expect(await split('Aa. Bb. Cc. Dd. Ee.', 6, 1)).toEqual(['Aa. Bb. Cc.', 'Dd. Ee.']);
    expect(await split('Aa. Bb.\n# Cc\nDd.', 4, 2)).toEqual(['Aa. Bb.', '# Cc\nDd.']);
  });
});

it('splitBySentences() takes time proportional to the length of a text without spaces', async () => {
  let counted = 0;
  const model = {
    maxLength: 34,
    tokenizer: {
      ...characterTokenizer(),
      encode: (texts: readonly string[], options: Parameters<Tokenizer['encode']>[1]) => {
        for (const text of texts) counted += text.length;
        return characterTokenizer().encode(texts, options);
      },
    },
  };
  const text = 'x'.repeat(20_000);
  const pieces = await splitBySentences(text, model);
  expect(pieces.map(({ tokens }) => tokens)).toEqual(Array.from({ length: 625 }, () => 32));
  expect(counted).toBeLessThan(5 * text.length);
});
