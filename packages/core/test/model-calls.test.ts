// Models of sentence-transformers 6.1 that treat queries and documents differently: by prompts, by routes, or not.
import { readFileSync } from 'node:fs';
import { plainBackend } from '@sentvec/architectures';
import { memoryModel, readModelFolder, type ModelFiles } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { type GoldenCallCase, goldenCallNames, goldenModel, goldenPath } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { withFiles } from './small-folders.ts';

interface Expectation {
  readonly cases: readonly GoldenCallCase[];
  readonly measured: { readonly tolerance: number };
}

const roles = { encode: undefined, encode_query: 'query', encode_document: 'document' } as const;

describe.each(goldenCallNames)('%s', (name) => {
  const { cases, measured } = JSON.parse(
    readFileSync(goldenPath(`models/${name}/expected.json`), 'utf8'),
  ) as Expectation;

  it('gives the vectors of encode, encode_query and encode_document with one loaded model', async () => {
    await using embedder = await loadEmbedder(goldenModel(name), { backend: plainBackend(), onWarning: () => {} });
    // A text without tokens gives zeros in sentence-transformers, and is refused by sentvec.
    const isRead = ({ embedding }: GoldenCallCase): boolean => embedding.some((entry) => entry !== 0);
    for (const [call, role] of Object.entries(roles)) {
      const own = cases.filter((each) => each.call === call && isRead(each));
      const { vectors, receipt } = await embedder.embed(
        own.map(({ text }) => text),
        { as: role },
      );
      const expected = own.flatMap(({ embedding }) => embedding);
      expect(vectors.data).toHaveLength(expected.length);
      const largest = expected.reduce((max, value, i) => Math.max(max, Math.abs(value - vectors.data[i]!)), 0);
      expect(largest).toBeLessThan(measured.tolerance);
      expect(receipt.route).toBe(name.includes('router') ? (role ?? 'document') : undefined);
      for (const { text } of cases.filter((each) => each.call === call && !isRead(each)))
        await expect(embedder.embed([text], { as: role })).rejects.toMatchObject({ code: 'invalid-text' });
    }
  });
});

/** The model st6-router with other parameters of its Router, or with another class of it. */
function routed(
  parameters: Readonly<Record<string, unknown>>,
  type = 'sentence_transformers.models.Router',
): ModelFiles {
  const golden = goldenModel('st6-router');
  const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const part = 'sentence_transformers.models.';
  const routes = ['query', 'document'];
  const router = {
    types: Object.fromEntries(
      routes.flatMap((route) => [
        [`${route}_0_Transformer`, `${part}Transformer`],
        [`${route}_1_Pooling`, `${part}Pooling`],
      ]),
    ),
    structure: Object.fromEntries(routes.map((route) => [route, [`${route}_0_Transformer`, `${route}_1_Pooling`]])),
    parameters,
  };
  const changed = new Map([
    ['modules.json', json([{ type, path: '' }])],
    [type.endsWith('Asym') ? 'config.json' : 'router_config.json', json(router)],
  ]);
  return withFiles(golden, changed, ['router_config.json']);
}

describe('the route', () => {
  const pathOf = async (files: ModelFiles, route?: string): Promise<string> =>
    (await readModelFolder(files, { route })).encoderPath;

  it('is the given one, the default one, or the first one', async () => {
    expect(await pathOf(routed({ default_route: 'document' }))).toBe('document_0_Transformer');
    expect(await pathOf(routed({ default_route: null }))).toBe('query_0_Transformer');
    expect(await pathOf(routed({ default_route: 'document' }), 'query')).toBe('query_0_Transformer');
    expect(await pathOf(routed({}, 'sentence_transformers.models.Asym'), 'document')).toBe('document_0_Transformer');
  });

  it('may be mapped from a task, or from the modality text', async () => {
    const mapped = routed({ route_mappings: { "('search', 'text')": 'query', "(None, 'text')": 'document' } });
    expect(await pathOf(mapped, 'search')).toBe('query_0_Transformer');
    expect(await pathOf(mapped)).toBe('document_0_Transformer');
  });

  it('may begin after the pooling, for example with a dense layer per route', async () => {
    const golden = goldenModel('tiny-t5');
    const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
    const part = (kind: string, path: string) => ({ type: `sentence_transformers.models.${kind}`, path });
    const changed = new Map([
      ['modules.json', json([part('Transformer', ''), part('Pooling', '1_Pooling'), part('Asym', '')])],
      [
        'config.json',
        json({
          ...(JSON.parse(new TextDecoder().decode(await golden.read('config.json'))) as object),
          types: {
            '2_Dense': 'sentence_transformers.models.Dense',
            '3_Normalize': 'sentence_transformers.models.Normalize',
          },
          structure: { query: ['2_Dense', '3_Normalize'], doc: ['3_Normalize'] },
          parameters: { allow_empty_key: true },
        }),
      ],
    ]);
    const files = withFiles(golden, changed);
    const kinds = async (route?: string) =>
      (await readModelFolder(files, { route })).head.projections.map(({ kind }) => kind);
    expect(await kinds()).toEqual(['dense', 'normalize']);
    expect(await kinds('doc')).toEqual(['normalize']);
  });

  it('is mentioned in the notes when it was chosen by default', async () => {
    const { route, notes } = await readModelFolder(routed({ default_route: 'document' }));
    expect(route).toBe('document');
    expect(notes).toEqual([expect.stringMatching(/route "document".*also has "query"/)]);
    expect((await readModelFolder(routed({}), { route: 'query' })).notes).toEqual([]);
  });

  it.each([
    [
      'that the model does not have',
      routed({}),
      'passage',
      'invalid-argument',
      /no route for "passage".*"query", "document"/,
    ],
    ['without a default', routed({ allow_empty_key: false }), undefined, 'invalid-argument', /"query", "document"/],
    ['that does not exist', routed({ default_route: 'image' }), undefined, 'invalid-model', /"image"/],
    ['of a model without routes', goldenModel('tiny-bert'), 'query', 'invalid-argument', /no routes/],
    [
      'of a folder without modules',
      memoryModel('plain', { 'config.json': '{}' }),
      'query',
      'invalid-argument',
      /no routes/,
    ],
  ])('%s is refused', async (_, files, route, code, message) => {
    await expect(readModelFolder(files, { route })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });
});
