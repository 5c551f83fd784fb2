// Queries and documents: the prompt, route and task of each role, receipts, known prompts, and loading of routes.
import { plainBackend } from '@sentvec/architectures';
import {
  createEmbedder,
  memoryModel,
  SentvecError,
  type Backend,
  type ModelFiles,
  type SpaceOptions,
} from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { goldenExpectation, goldenModel } from '@sentvec/testing';
import { expect, test } from 'vitest';
import { findKnownPrompts } from '../src/embedder/known-prompts.ts';
import { fakeParts } from './fake-parts.ts';
import { withFiles } from './small-folders.ts';

const encode = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

/** tiny-bert with these prompts, these fields on its model card, and this `_name_or_path` in config.json. */
function model({
  prompts = {},
  card = '',
  origin,
}: { prompts?: object; card?: string; origin?: string } = {}): ModelFiles {
  const golden = goldenModel('tiny-bert');
  const config = async (): Promise<Uint8Array> => {
    const values = JSON.parse(new TextDecoder().decode(await golden.read('config.json'))) as object;
    return encode({ ...values, _name_or_path: origin });
  };
  const files = withFiles(
    golden,
    new Map([
      ['config_sentence_transformers.json', encode({ prompts })],
      ['README.md', encode(`---\n${card}\n---\n`)],
    ]),
  );
  return { ...files, read: async (path) => (path === 'config.json' ? config() : files.read(path)) };
}

/** The prompts with which `embedQuery()`, `embedDocuments()` and `embed()` embed texts. */
async function promptsOf(files: ModelFiles, options: SpaceOptions = {}) {
  await using embedder = await loadEmbedder(files, { backend: plainBackend(), selfCheck: false });
  const [query, document, text] = await Promise.all([
    embedder.embedQuery('a', options),
    embedder.embedDocuments(['a'], options),
    embedder.embed('a', options),
  ]);
  for (const [role, { receipt }] of [
    ['query', query],
    ['document', document],
  ] as const) {
    const promptText = receipt.prompt ?? '';
    const { vectors } = await embedder.embed(['a'], { promptText });
    expect(vectors.data).toEqual((await embedder.embed(['a'], { as: role, ...options })).vectors.data);
    expect(receipt.fingerprint).toBe((await embedder.fingerprint({ as: role, ...options })).hash);
    expect(receipt.fingerprint).toBe((await embedder.fingerprint({ promptText })).hash);
  }
  return {
    query: query.receipt.prompt,
    document: document.receipt.prompt,
    text: text.receipt.prompt,
    notes: query.receipt.notes.join(' '),
  };
}

test.each([
  ['both', { query: 'q: ', document: 'd: ' }, 'q: ', 'd: '],
  ['documents under the name "passage"', { query: 'q: ', passage: 'p: ', corpus: 'c: ' }, 'q: ', 'p: '],
  ['documents under the name "corpus"', { corpus: 'c: ' }, undefined, 'c: '],
  // sentence-transformers 6.1 writes empty prompts and prefers them to those under other names.
  ['an empty prompt for documents', { query: 'q: ', document: '', passage: 'p: ' }, 'q: ', undefined],
  ['none', {}, undefined, undefined],
])('the prompts of the folder are used: %s', async (_, prompts, query, document) => {
  expect(await promptsOf(model({ prompts }))).toMatchObject({ query, document, text: undefined, notes: '' });
});

test('the default prompt is used for both roles, unless it is the prompt of one role', async () => {
  const of = async (defaultPrompt: string, prompts: Readonly<Record<string, string>>) => {
    await using embedder = createEmbedder(fakeParts({ prompts, defaultPrompt }));
    const all = [embedder.embedQuery('a'), embedder.embedDocuments('a'), embedder.embed('a')];
    return (await Promise.all(all)).map(({ receipt }) => receipt.prompt);
  };
  expect(await of('title', { title: 't: ' })).toEqual(['t: ', 't: ', 't: ']);
  expect(await of('query', { query: 'q: ' })).toEqual(['q: ', undefined, 'q: ']);
  expect(await of('passage', { passage: 'p: ' })).toEqual([undefined, 'p: ', 'p: ']);
});

const e5 = { query: 'query: ', document: 'passage: ' };

test.each([
  ['the base model on its card', { card: 'base_model: intfloat/multilingual-e5-small' }, e5],
  ['the origin in its config', { origin: 'intfloat/e5-large-v2' }, e5],
  ['the name on its card', { card: 'model-index:\n- name: e5-base-v2' }, e5],
  [
    'the base model on its card, with a prompt for queries only',
    { card: 'base_model: BAAI/bge-small-en-v1.5' },
    { query: 'Represent this sentence for searching relevant passages: ', document: undefined },
  ],
])('a model without prompts in its folder gets known prompts by %s', async (_, files, expected) => {
  const { notes, ...found } = await promptsOf(model({ prompts: { query: '', document: '' }, ...files }));
  expect(found).toEqual({ ...expected, text: undefined });
  expect(notes).toMatch(/queries get ".+: ".*was trained.*"promptText"/u);
});

test('prompts of the folder and of the caller take precedence over known prompts', async () => {
  const card = 'base_model: intfloat/e5-small';
  expect(await promptsOf(model({ card, prompts: { query: 'q: ' } }))).toMatchObject({
    query: 'q: ',
    document: undefined,
    notes: '',
  });
  expect(await promptsOf(model({ card }), { prompt: null })).toMatchObject({ query: undefined, notes: '' });
});

test.each([
  ['nomic-ai/nomic-embed-text-v1.5', 'search_query: ', 'search_document: '],
  ['BAAI/bge-large-zh-v1.5', '为这个句子生成表示以用于检索相关文章：', ''],
  ['BAAI/bge-m3', undefined, undefined],
  [
    'intfloat/multilingual-e5-large-instruct',
    'Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ',
    '',
  ],
  ['intfloat/multilingual-e5-large', 'query: ', 'passage: '],
  ['Snowflake/snowflake-arctic-embed-l-v2.0', 'query: ', ''],
  ['Snowflake/snowflake-arctic-embed-m-v1.5', 'Represent this sentence for searching relevant passages: ', ''],
  ['google/embeddinggemma-300m-qat-q8_0-unquantized', 'task: search result | query: ', 'title: none | text: '],
  ['thenlper/gte-base', undefined, undefined],
])('%s has known prompts by its name on the hub, not by the name of a local folder', async (name, query, document) => {
  const files = memoryModel(name, {});
  expect((await findKnownPrompts({ ...files, revision: 'c0ffee' })).prompts).toEqual(
    query === undefined ? undefined : { query, document },
  );
  expect(await findKnownPrompts(files)).toEqual({ prompts: undefined, note: undefined });
});

test('a note reports a model card that cannot be read', async () => {
  const read = async (): Promise<never> => {
    throw new SentvecError('download-failed', 'There is no network.');
  };
  const files = { ...memoryModel('me/mine', { 'README.md': '' }), read };
  expect(await findKnownPrompts(files)).toEqual({
    prompts: undefined,
    note: expect.stringMatching(/card of me\/mine could not be read.*no prompt is used/u) as string,
  });
});

/** The plain backend with lists of the folders whose encoders it loaded and disposed. */
function countingBackend() {
  const loaded: string[] = [];
  const disposed: string[] = [];
  const plain = plainBackend();
  const backend: Backend = {
    ...plain,
    load: async (files, options) => {
      const encoder = await plain.load(files, options);
      loaded.push(files.name);
      return {
        ...encoder,
        encode: (...call) => encoder.encode(...call),
        dispose: async () => (disposed.push(files.name), encoder.dispose()),
      };
    },
  };
  return { backend, loaded, disposed };
}

test('a route is loaded once at its first use and disposed with the embedder', async () => {
  const { backend, loaded, disposed } = countingBackend();
  const embedder = await loadEmbedder(goldenModel('st6-router'), { backend, onWarning: () => {}, selfCheck: false });
  expect(loaded.map((name) => name.split('/').at(-1))).toEqual(['document_0_Transformer']);
  await embedder.embedDocuments('a');
  expect(loaded).toHaveLength(1);
  const texts = ['a', 'b'];
  const both = [embedder.embedQuery(texts), embedder.embed(['a', 'b'], { route: 'query', prompt: 'query' })];
  texts[0] = 'changed';
  const [one, other] = await Promise.all(both);
  expect(one!.vectors.data).toEqual(other!.vectors.data);
  expect(one!.receipt).toMatchObject({ route: 'query', prompt: 'query: ' });
  expect(loaded).toHaveLength(2);
  await expect(embedder.embed('a', { route: 'title' })).rejects.toMatchObject({
    code: 'invalid-argument',
    message: /"query", "document"/u,
  });
  await embedder.dispose();
  expect(new Set(disposed).size).toBe(2);
  await expect(embedder.embedQuery('a')).rejects.toMatchObject({ code: 'disposed' });
});

test('routes after a shared encoder load it once', async () => {
  const golden = goldenModel('tiny-bert');
  const part = (kind: string, path: string) => ({ type: `sentence_transformers.models.${kind}`, path });
  const types = {
    Normalize: 'sentence_transformers.models.Normalize',
    Dropout: 'sentence_transformers.models.Dropout',
  };
  const files = withFiles(
    golden,
    new Map([
      ['modules.json', encode([part('Transformer', ''), part('Pooling', '1_Pooling'), part('Router', '2_Router')])],
      ['2_Router/router_config.json', encode({ types, structure: { query: ['Normalize'], document: ['Dropout'] } })],
      ['2_Router/Normalize/config.json', encode({})],
      ['2_Router/Dropout/config.json', encode({ dropout: 0.1 })],
    ]),
  );
  const { backend, loaded } = countingBackend();
  await using embedder = await loadEmbedder(files, { backend, onWarning: () => {}, selfCheck: false });
  const { vector: query } = await embedder.embedQuery('a text');
  const { vector: document } = await embedder.embedDocuments('a text');
  expect(Math.hypot(...query)).toBeCloseTo(1, 5);
  expect(Math.hypot(...document)).toBeGreaterThan(1.01);
  expect(loaded).toHaveLength(1);
});

test('a route can be loaded again after its load failed or was aborted', async () => {
  const golden = goldenModel('st6-router');
  let broken = true;
  const files: ModelFiles = {
    name: golden.name,
    list: () => golden.list(),
    read: async (path) => {
      if (broken && path === 'query_0_Transformer/config.json') throw new Error('unplugged');
      return golden.read(path);
    },
  };
  await using embedder = await loadEmbedder(files, { backend: plainBackend(), onWarning: () => {}, selfCheck: false });
  await expect(embedder.embedQuery('a')).rejects.toThrow('unplugged');
  broken = false;
  const signal = AbortSignal.abort();
  await expect(embedder.embedQuery('a', { signal })).rejects.toMatchObject({ code: 'aborted' });
  expect((await embedder.embedQuery('a')).receipt.route).toBe('query');
  await expect(embedder.embed('a', { as: 'passage' as 'query' })).rejects.toMatchObject({
    code: 'invalid-argument',
    message: /"query" or "document"/u,
  });
  const other = countingBackend();
  const ended = await loadEmbedder(files, { backend: other.backend, onWarning: () => {}, selfCheck: false });
  await ended.dispose();
  await expect(ended.embedQuery('a')).rejects.toMatchObject({ code: 'disposed' });
  expect(other.loaded).toHaveLength(1);
});

test('a model with task adapters uses those for queries and documents', async () => {
  const name = 'tiny-jina3-tasks';
  const { cases, tasks = {}, measured } = goldenExpectation(name);
  const texts = cases.map(({ text }) => text);
  const files = withFiles(
    goldenModel(name),
    new Map([['config_sentence_transformers.json', encode({ prompts: { 'retrieval.query': 'find: ', query: '' } })]]),
  );
  await using embedder = await loadEmbedder(files, { backend: plainBackend(), selfCheck: false });
  const largestDifference = (found: Float32Array, task: string): number =>
    Math.max(...tasks[task]!.flat().map((value, i) => Math.abs(value - found[i]!)));
  const documents = await embedder.embedDocuments(texts);
  expect(documents.receipt).toMatchObject({ task: 'retrieval.passage' });
  expect(largestDifference(documents.vectors.data, 'retrieval.passage')).toBeLessThan(measured.tolerance!);
  const queries = await embedder.embedQuery(texts, { prompt: null });
  expect(largestDifference(queries.vectors.data, 'retrieval.query')).toBeLessThan(measured.tolerance!);
  expect((await embedder.embedQuery('a')).receipt).toMatchObject({ task: 'retrieval.query', prompt: 'find: ' });
  const chosen = await embedder.embedDocuments(texts, { task: 'text-matching', prompt: null });
  expect(largestDifference(chosen.vectors.data, 'text-matching')).toBeLessThan(measured.tolerance!);
  expect((await embedder.embed('a')).receipt.task).toBeUndefined();
});
