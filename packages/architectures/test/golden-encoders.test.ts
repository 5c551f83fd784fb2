import { describe, expect, it } from 'vitest';
import { goldenArchitectureNames, goldenExpectation, goldenModel, goldenModelNames } from '@sentvec/testing';
import { batchOf, encodeOnnx, encodePlain, largestDifferenceOf, tokensOf } from './encoding.ts';

const interpreters = { 'plain interpreter': encodePlain, 'recorded ONNX model': encodeOnnx };

describe.each([...goldenModelNames, ...goldenArchitectureNames])('%s', (name) => {
  const files = goldenModel(name);
  const { cases, model_type: type, measured } = goldenExpectation(name);
  const paddingId = type === 'bert' ? 0 : 1;

  it.each(Object.entries(interpreters))('gives the token embeddings of PyTorch: %s', async (_, encode) => {
    const withTokens = cases.filter((each) => each.token_embeddings !== undefined);
    const batch = batchOf(
      withTokens.map(({ ids }) => ids),
      paddingId,
    );
    const result = await encode(files, batch);
    withTokens.forEach(({ ids, token_embeddings: expected }, row) => {
      expect(largestDifferenceOf(tokensOf(result, row, ids.length), expected!.flat())).toBeLessThan(
        measured.token_tolerance ?? 5e-5,
      );
    });
  });

  it.each(Object.entries(interpreters))(
    'gives a text the same vectors alone and in a padded batch: %s',
    async (_, encode) => {
      // The contract of backends compares all texts at once with PyTorch: here some, with the longest and more padding.
      const all = cases.map(({ ids }) => ids).filter((ids) => ids.length > 0);
      const longest = all.reduce((best, ids) => (ids.length > best.length ? ids : best));
      const texts = [all[0]!, longest, all[1]!, all.at(-1)!];
      const together = await encode(files, batchOf(texts, paddingId, Math.max(...texts.map((ids) => ids.length)) + 1));
      const some = [0, 2, 3];
      const alone = await Promise.all(some.map((row) => encode(files, batchOf([texts[row]!], paddingId))));
      some.forEach((row, i) => {
        const { length } = texts[row]!;
        expect(largestDifferenceOf(tokensOf(together, row, length), tokensOf(alone[i]!, 0, length))).toBeLessThan(
          measured.token_tolerance ?? 2e-5,
        );
      });
    },
  );
});
