import { goldenExpectation, goldenModelNames, goldenPath } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { largestDifference, Workplace } from './sentvec.ts';

const place = new Workplace();

/** Float32 against float64; see the goldens' README. */
const tolerance = 5e-5;

describe.each(goldenModelNames)('sentvec embed with %s', (name) => {
  const { cases, prompted, dimension } = goldenExpectation(name);
  const model = goldenPath(`models/${name}`);

  it('gives the vectors of PyTorch', async () => {
    const input = await place.writeRows(
      `${name}.jsonl`,
      cases.map(({ text }, index) => ({ id: `case ${index}`, text })),
    );
    await place.succeed([
      'embed',
      input,
      '--model',
      model,
      '--id',
      'id',
      '--format',
      'jsonl',
      '--output',
      `${name}-vectors`,
      '--without-prompt',
    ]);
    const rows = await place.readVectors(`${name}-vectors`);
    expect(rows.map(({ id }) => id)).toEqual(cases.map((_, index) => `case ${index}`));
    for (const [index, { embedding }] of rows.entries()) {
      expect(embedding).toHaveLength(dimension);
      expect(largestDifference(embedding, cases[index]!.embedding)).toBeLessThan(tolerance);
    }
  });

  it.each([...new Set(prompted.map(({ prompt_name: prompt }) => prompt))])(
    'gives those of its prompt %s',
    async (prompt) => {
      const group = prompted.filter(({ prompt_name: each }) => each === prompt);
      const input = await place.writeRows(
        `${name}-${prompt}.jsonl`,
        group.map(({ text }) => ({ text })),
      );
      const output = `${name}-${prompt}-vectors`;
      await place.succeed([
        'embed',
        input,
        '--model',
        model,
        '--prompt',
        prompt,
        '--format',
        'jsonl',
        '--output',
        output,
      ]);
      const rows = await place.readVectors(output);
      expect(rows).toHaveLength(group.length);
      for (const [index, { embedding }] of rows.entries())
        expect(largestDifference(embedding, group[index]!.embedding)).toBeLessThan(tolerance);
    },
  );
});
