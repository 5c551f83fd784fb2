import { readFileSync } from 'node:fs';
import { plainBackend } from '@sentvec/architectures';
import {
  createEmbedder,
  createPooling,
  rowOf,
  SentvecError,
  type EmbedPiecesOptions,
  type Tokenizer,
} from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { goldenModel, goldenPath } from '@sentvec/testing';
import { describe, expect, it, test } from 'vitest';
import { characterTokenizer, expectedMean, fakeEncoder, fakeParts, tokenVectors } from './fake-parts.ts';

/** Made with the Python libraries by pieces.py, in the same folder. */
interface Golden {
  readonly text: string;
  readonly cases: readonly {
    readonly model: string;
    readonly maxTokens: number;
    readonly pieces: readonly {
      readonly start: number;
      readonly end: number;
      readonly tokens: number;
      readonly late: readonly number[];
    }[];
    readonly mean: readonly number[];
  }[];
}
const golden = JSON.parse(readFileSync(goldenPath('pieces.json'), 'utf8')) as Golden;

const largestDifference = (vector: ArrayLike<number>, expected: readonly number[]): number =>
  expected.reduce((largest, value, index) => Math.max(largest, Math.abs(value - vector[index]!)), 0);

describe.each(golden.cases)('pieces of a text for $model', ({ model, maxTokens, pieces: expected, mean }) => {
  it('have the late-chunking vectors and the mean vectors of the Python libraries', async () => {
    await using embedder = await loadEmbedder(goldenModel(model), { backend: plainBackend() });
    const texts = ['Another text.', golden.text];
    const late = await embedder.embedPieces(texts, { maxTokens, lateChunking: true });
    const found = late.pieces.filter(({ row }) => row === 1);
    const positions = expected.map(({ start, end, tokens }, piece) => ({ row: 1, piece, start, end, tokens }));
    expect(found.map(({ row, piece, start, end, tokens }) => ({ row, piece, start, end, tokens }))).toEqual(positions);
    for (const [index, piece] of expected.entries())
      expect(largestDifference(rowOf(late.vectors, 1 + index), piece.late), `piece ${index}`).toBeLessThan(5e-5);
    const together = await embedder.embedPieces(texts, { maxTokens, mean: true });
    expect([together.vectors.rows, together.receipt.rows]).toEqual([2, 2]);
    expect(largestDifference(rowOf(together.vectors, 1), mean)).toBeLessThan(5e-5);
    expect(together.receipt.fingerprint).toBe((await embedder.fingerprint()).hash);
  });
});

/** Fake parts count a token for each character, and give token vectors of id, position, length and id × position. */
const words = 'aaa bbb ccc ddd eee fff ggg';

describe('pieces of texts', () => {
  it('have the same vectors as if they were texts, and have their positions', async () => {
    const embedder = createEmbedder(fakeParts());
    const progress: number[] = [];
    const onProgress = ({ rows }: { rows: number }) => void progress.push(rows);
    const { pieces, vectors, receipt } = await embedder.embedPieces(['x y', words], {
      maxTokens: 13,
      splitBy: 'tokens',
      overlapTokens: 3,
      onProgress,
    });
    expect(pieces.map(({ row, piece, start, text }) => [row, piece, start, text])).toEqual([
      [0, 0, 0, 'x y'],
      [1, 0, 0, 'aaa bbb ccc'],
      [1, 1, 8, 'ccc ddd eee'],
      [1, 2, 16, 'eee fff ggg'],
    ]);
    for (const [index, { text }] of pieces.entries())
      expect(largestDifference(rowOf(vectors, index), expectedMean(text))).toBeLessThan(1e-4);
    expect(receipt).toMatchObject({ rows: 2, truncated: [] });
    expect(progress.at(-1)).toBe(2);
  });

  it('leave room for the prompt, which is put before each of them', async () => {
    const embedder = createEmbedder(fakeParts({ prompts: { document: 'd: ' }, maxLength: 16 }));
    const { pieces, vectors, receipt } = await embedder.embedPieces([words], { prompt: 'document' });
    expect(pieces.map(({ text }) => text)).toEqual(['aaa bbb ccc', 'ddd eee fff', 'ggg']);
    expect(largestDifference(rowOf(vectors, 2), expectedMean('d: ggg'))).toBeLessThan(1e-4);
    expect(receipt.truncated).toEqual([]);
  });

  it('are weighted by their tokens in the mean, which is normalized if the vectors of the model are', async () => {
    const options: EmbedPiecesOptions = { maxTokens: 13, splitBy: 'tokens', mean: true };
    const embedder = createEmbedder(fakeParts());
    const { vectors, pieces } = await embedder.embedPieces([words], options);
    const [first, second, third] = pieces.map(({ text }) => expectedMean(text));
    expect(pieces.map(({ tokens }) => tokens)).toEqual([11, 11, 3]);
    const expected = first!.map((value, col) => (11 * value + 11 * second![col]! + 3 * third![col]!) / 25);
    expect(largestDifference(rowOf(vectors, 0), expected)).toBeLessThan(1e-4);
    const { vectors: unit } = await embedder.embedPieces([words], { ...options, normalize: true });
    expect(Math.hypot(...unit.data)).toBeCloseTo(1, 6);
    const shorter = await embedder.embedPieces([words], { ...options, truncateDim: 2 });
    expect(largestDifference(shorter.vectors.data, expected.slice(0, 2))).toBeLessThan(1e-4);
  });

  it('are reported in errors by the row of their text', async () => {
    const encode = async (batch: Parameters<typeof tokenVectors>[0]) => {
      const tokens = tokenVectors(batch);
      for (let row = 0; row < batch.rows; row += 1)
        if (batch.ids.subarray(row * batch.cols, (row + 1) * batch.cols).includes(33))
          tokens.data.fill(NaN, row * batch.cols * 4, (row + 1) * batch.cols * 4);
      return tokens;
    };
    const embedder = createEmbedder(fakeParts({ encoder: fakeEncoder({ encode }) }));
    for (const lateChunking of [false, true]) {
      const call = embedder.embedPieces([words, `${words}!`], { maxTokens: 8, lateChunking });
      await expect(call).rejects.toMatchObject({
        code: 'backend-failed',
        message: expect.stringContaining('row 1'),
        details: { row: 1 },
      });
    }
    await expect(embedder.embedPieces(['a', ' ', 'b', '\n'])).rejects.toMatchObject({
      code: 'invalid-text',
      details: { row: 1, rows: [1, 3] },
    });
  });

  it('are reported in an error about several pieces by the row of each text', async () => {
    const tokenizer = characterTokenizer();
    const encode: Tokenizer['encode'] = async (texts, options) => {
      if (options.addSpecialTokens === false) return tokenizer.encode(texts, options); // It counts.
      const rows = texts.flatMap((text, row) => (text.includes('!') ? [row] : []));
      throw new SentvecError('invalid-text', `Row ${rows[0]} and row ${rows.at(-1)}: row 99.`, { row: rows[0], rows });
    };
    const embedder = createEmbedder(fakeParts({ tokenizer: { ...tokenizer, encode } }));
    const call = embedder.embedPieces(['aaa', 'bb! cc!', 'ddd', 'ee!'], { maxTokens: 5, splitBy: 'tokens' });
    await expect(call).rejects.toMatchObject({
      message: 'Row 1 and row 3: row 99.',
      details: { row: 1, rows: [1, 3] },
    });
  });

  it('that were truncated are listed in the receipt once per text, with the length of the text', async () => {
    const tokenizer = characterTokenizer();
    // A character of 80 tokens, for which no piece of 64 has room.
    const wide = (text: string): string => text.replaceAll('€', '€'.repeat(80));
    const encode: Tokenizer['encode'] = (texts, options) => tokenizer.encode(texts.map(wide), options);
    const embedder = createEmbedder(fakeParts({ tokenizer: { ...tokenizer, encode } }));
    const { pieces, receipt } = await embedder.embedPieces(['aaa', `€ € ${words}`, 'b']);
    expect(pieces.filter(({ row }) => row === 1).length).toBeGreaterThan(2);
    expect(receipt.truncated).toEqual([{ row: 1, length: 2 + 80 + 1 + 80 + 1 + words.length }]);
  });

  it('are refused when they are longer than the model reads; unknown options are refused', async () => {
    const embedder = createEmbedder(fakeParts());
    const refused = async (options: object) =>
      expect(embedder.embedPieces(['a'], options)).rejects.toMatchObject({ code: 'invalid-argument' });
    await refused({ maxTokens: 65 });
    expect((await embedder.embedPieces(['a'], { maxTokens: 64 })).pieces).toHaveLength(1);
    await refused({ splitBy: 'pages' });
    await refused({ lateChunking: true });
    await refused({ maxToken: 3 });
    await expect(embedder.embedPieces(['a'], { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
    const late = { maxTokens: 8, lateChunking: true, signal: AbortSignal.abort() };
    await expect(embedder.embedPieces(['a'], late)).rejects.toMatchObject({ code: 'aborted' });
    const ofOneToken = createEmbedder(fakeParts({ head: { pooling: createPooling('cls'), projections: [] } }));
    await expect(ofOneToken.embedPieces(['a'], { maxTokens: 8, lateChunking: true })).rejects.toThrow(
      /one token \(cls\)/,
    );
    await embedder.dispose();
    await expect(embedder.embedPieces(['a'])).rejects.toMatchObject({ code: 'disposed' });
  });
});

/** The mean of {@link tokenVectors} over the tokens from `first` up to, but not including, `end` of a window. */
function meanOfTokens(window: string, first: number, end: number): number[] {
  const ids = [60, ...Array.from(window, (character) => character.charCodeAt(0)), 62];
  const sums = [0, 0, 0, 0];
  for (let at = first; at < end; at += 1)
    for (const [col, value] of [ids[at]!, at, ids.length, ids[at]! * at].entries()) sums[col]! += value;
  return sums.map((sum) => sum / (end - first));
}

/** Without the spaces, for which the tokenizer of fake parts has no token at the beginning of a segment. */
const joined = words.replaceAll(' ', '');

describe('late chunking', () => {
  const options: EmbedPiecesOptions = { maxTokens: 7, splitBy: 'tokens', lateChunking: true };

  it('pools the tokens of each piece of one pass over the text, without special tokens and prompt', async () => {
    const encoder = fakeEncoder();
    const embedder = createEmbedder(fakeParts({ encoder, prompts: { document: 'd: ' } }));
    const { pieces, vectors, receipt } = await embedder.embedPieces([words], {
      ...options,
      maxTokens: 9,
      prompt: 'document',
    });
    expect(pieces).toHaveLength(7);
    expect(encoder.calls.batches).toHaveLength(1);
    const read = `d:${joined}`;
    for (const index of pieces.keys()) {
      const first = 3 + 3 * index;
      expect(largestDifference(rowOf(vectors, index), meanOfTokens(read, first, first + 3))).toBeLessThan(1e-3);
    }
    expect(receipt).toMatchObject({ rows: 1, tokens: 2 + read.length, truncated: [], notes: [] });
  });

  it('splits a text that is too long into windows, each with context before its first piece', async () => {
    const embedder = createEmbedder(fakeParts({ maxLength: 14 }));
    const { vectors, receipt } = await embedder.embedPieces([words], options);
    // 12 tokens of a text are read at once; 3 of them are a quarter.
    const windows = [
      { text: 'aaabbbcccddd', spans: [1, 4, 7, 10] },
      { text: 'dddeeefffggg', spans: [4, 7, 10] },
    ];
    const expected = windows.flatMap(({ text, spans }) => spans.map((first) => meanOfTokens(text, first, first + 3)));
    for (const [index, vector] of expected.entries())
      expect(largestDifference(rowOf(vectors, index), vector), `piece ${index}`).toBeLessThan(1e-3);
    expect(receipt.notes).toEqual([expect.stringContaining('windows')]);
  });

  it('pools overlapping tokens in each piece that has them', async () => {
    const embedder = createEmbedder(fakeParts());
    const { pieces, vectors } = await embedder.embedPieces([words], { ...options, maxTokens: 9, overlapTokens: 3 });
    expect(pieces.map(({ text }) => text).slice(0, 2)).toEqual(['aaa bbb', 'bbb ccc']);
    expect(largestDifference(rowOf(vectors, 1), meanOfTokens(joined, 4, 10))).toBeLessThan(1e-3);
  });
});

test('no texts give no pieces', async () => {
  const embedder = createEmbedder(fakeParts());
  const { vectors, pieces } = await embedder.embedPieces([]);
  expect([vectors.rows, pieces]).toEqual([0, []]);
});
