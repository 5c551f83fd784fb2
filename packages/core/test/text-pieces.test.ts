import { readTokenizerDefinition, splitByTokens, type Tokenizer } from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { characterTokenizer } from './fake-parts.ts';

const sentence = 'The ship went on through the night, and nobody slept; the sea was calm. ';

describe.each(['tiny-bert', 'tiny-roberta', 'tiny-mpnet'])('pieces of a text for %s', (name) => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await nodeTokenizer('javascript')(await readTokenizerDefinition(goldenModel(name)));
  });
  afterAll(() => tokenizer.dispose());

  /** Tokens of each piece, special ones included. */
  const lengths = async (pieces: readonly string[]): Promise<number[]> =>
    (await tokenizer.encode(pieces, { maxLength: 100_000 })).map(({ length }) => length);

  it.each([8, 20, 64])('fit into %d tokens, and are the text when they are put together', async (maxLength) => {
    const text = sentence.repeat(12).trim();
    const pieces = await splitByTokens(text, { tokenizer, maxLength });
    expect(pieces.join(' ')).toBe(text);
    const counts = await lengths(pieces);
    expect(Math.max(...counts)).toBeLessThanOrEqual(maxLength);
    // No piece but the last has room for the next word, unless that is a long one.
    for (const [index, piece] of pieces.slice(0, -1).entries()) {
      const [longer] = await lengths([`${piece} ${pieces[index + 1]!.split(' ')[0]}`]);
      expect(longer).toBeGreaterThan(maxLength);
    }
  });

  it('begin with the end of the one before, where they overlap', async () => {
    const words = Array.from({ length: 200 }, (_, index) => `w${index}`);
    const pieces = await splitByTokens(words.join(' '), { tokenizer, maxLength: 40 }, { overlapTokens: 12 });
    const firsts = pieces.map((piece) => words.indexOf(piece.split(' ')[0]!));
    const lasts = pieces.map((piece) => words.indexOf(piece.split(' ').at(-1)!));
    for (const [index, first] of firsts.slice(1).entries()) {
      expect(first).toBeLessThanOrEqual(lasts[index]!);
      expect(first).toBeGreaterThan(firsts[index]!);
    }
    expect(lasts.at(-1)).toBe(199);
  });

  it('cut a word that does not fit, between characters', async () => {
    const word = '👩‍🚀abcdefghij'.repeat(30);
    const pieces = await splitByTokens(`before ${word} after`, { tokenizer, maxLength: 16 });
    expect(pieces.join('').replaceAll(' ', '')).toBe(`before${word}after`);
    expect(pieces.some((piece) => /\p{Surrogate}/u.test(piece))).toBe(false);
    expect(Math.max(...(await lengths(pieces)))).toBeLessThanOrEqual(16);
  });

  it('are none for a text without words', async () => {
    expect(await splitByTokens(' \n\t ', { tokenizer, maxLength: 16 })).toEqual([]);
  });

  it('leave no room for nothing', async () => {
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

describe('an overlap in words of one token each', () => {
  /** A token for each word. */
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
  ])('of %d, which fits exactly', async (overlapTokens, pieces) => {
    expect(await splitByTokens(text, { tokenizer, maxLength: 5 }, { overlapTokens })).toEqual(pieces);
  });
});

it('an overlap never takes a whole piece: the next one would be the same', async () => {
  /** A token for each letter. */
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
  expect(pieces).toEqual(['a bb', 'bb', 'ccccc', 'd']);
});
