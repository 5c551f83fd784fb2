import { readFileSync } from 'node:fs';
import { goldenExpectation, goldenModelNames, goldenPath, type GoldenCallCase } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { largestDifference, Workplace } from './sentvec.ts';

const place = new Workplace();

/** Tolerance of float32 against float64; see the README of the goldens. */
const tolerance = 5e-5;

describe.each(goldenModelNames)('sentvec embed with %s', (name) => {
  const { cases, prompted, dimension } = goldenExpectation(name);
  const model = goldenPath(`models/${name}`);

  it('computes the vectors of PyTorch', async () => {
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
    'computes the vectors of PyTorch with the prompt %s',
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

it.each(['st6-router', 'st6-router-static'])(
  '%s: embed uses the route of documents, and search that of queries',
  async (name) => {
    const model = goldenPath(`models/${name}`);
    const { cases } = JSON.parse(readFileSync(goldenPath(`models/${name}/expected.json`), 'utf8')) as {
      readonly cases: readonly GoldenCallCase[];
    };
    const of = (call: GoldenCallCase['call']) =>
      cases.filter(
        (each) => each.call === call && /\w/u.test(each.text) && each.embedding.some((entry) => entry !== 0),
      );
    const [documents, queries] = [of('encode_document').slice(0, 4), of('encode_query')];
    const input = await place.writeRows(
      `${name}.jsonl`,
      documents.map(({ text }) => ({ text })),
    );
    const output = `${name}-vectors`;
    await place.succeed(['embed', input, '--model', model, '--format', 'jsonl', '--columns', 'text', '-o', output]);
    for (const [index, { embedding }] of (await place.readVectors(output)).entries())
      expect(largestDifference(embedding, documents[index]!.embedding)).toBeLessThan(tolerance);
    expect(JSON.parse(readFileSync(place.path(`${output}/manifest.json`), 'utf8'))).toMatchObject({
      prompt: '',
      route: 'document',
      options: { as: 'document' },
    });
    const { text, embedding } = queries.at(-1)!;
    const { hits } = JSON.parse(await place.succeed(['search', output, text, '--json'])) as {
      hits: { id: number; score: number }[];
    };
    const cosine = (other: readonly number[]): number =>
      other.reduce((sum, value, i) => sum + value * embedding[i]!, 0);
    for (const { id, score } of hits) expect(score).toBeCloseTo(cosine(documents[id]!.embedding), 4);
    expect(hits).toHaveLength(documents.length);
  },
);
