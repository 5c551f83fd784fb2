import { cp, readFile } from 'node:fs/promises';
import { readRetrievalData, isRetrievalData } from '@sentvec/corpus';
import { goldenPath } from '@sentvec/testing';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { expect, it } from 'vitest';
import { workspace } from './workspace.ts';

const space = workspace();
const beir = goldenPath('retrieval');
const [corpus, queries] = [
  '{"_id": 1, "title": "A title", "text": "one"}\n{"_id": "b", "text": "two"}\n',
  '{"_id": "q", "text": "ask"}\n',
];

/** Writes the files of a retrieval task, by name. */
async function task(name: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  for (const [file, content] of Object.entries(files)) await space.write(`${name}/${file}`, content);
  return space.path(name);
}

it('reads the BEIR layout: titles, numeric ids, grades, duplicate judgements and unjudged queries', async () => {
  expect(await isRetrievalData(beir)).toBe(true);
  const [found, ...others] = await readRetrievalData(beir);
  expect(others).toEqual([]);
  expect([found!.name, found!.missing, Object.keys(found!.corpus).length]).toEqual(['test', 1, 48]);
  expect(found!.corpus['d0']).toMatch(/^the sea /);
  expect(Object.keys(found!.queries)).not.toContain('104');
  expect(Object.keys(found!.queries)).not.toContain('105');
  for (const ids of Object.values(found!.relevant)) expect(new Set(ids).size).toBe(ids.length);
});

it('reads the same from Parquet files in the NanoBEIR layout, one task per split', async () => {
  const lines = async (name: string) =>
    (await readFile(`${beir}/${name}`, 'utf8'))
      .trim()
      .split('\n')
      .slice(name.endsWith('tsv') ? 1 : 0);
  const rows = async (name: string) => (await lines(name)).map((line) => JSON.parse(line) as Record<string, unknown>);
  const judged = (await lines('qrels/test.tsv')).map((line) => line.split('\t'));
  const texts = (all: Record<string, unknown>[]) =>
    new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: '_id', data: all.map(({ _id }) => String(_id)), type: 'STRING' },
          { name: 'text', data: all.map(({ text, title }) => [title, text].filter(Boolean).join(' ')), type: 'STRING' },
        ],
      }),
    );
  const relevant = judged.filter(([, , grade]) => grade !== '0');
  const qrels = new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: 'query-id', data: relevant.map(([query]) => query!), type: 'STRING' },
        { name: 'corpus-id', data: relevant.map(([, document]) => document!), type: 'STRING' },
      ],
    }),
  );
  const all = await rows('corpus.jsonl');
  const directory = await task('nano', {
    'corpus/NanoOne-00000-of-00002.parquet': texts(all.slice(0, 20)),
    'corpus/NanoOne-00001-of-00002.parquet': texts(all.slice(20)),
    'corpus/NanoTwo-00000-of-00001.parquet': texts(all),
    'queries/NanoOne-00000-of-00001.parquet': texts(await rows('queries.jsonl')),
    'queries/NanoTwo-00000-of-00001.parquet': texts(await rows('queries.jsonl')),
    'qrels/NanoOne-00000-of-00001.parquet': qrels,
    'qrels/NanoTwo-00000-of-00001.parquet': qrels,
  });
  const [expected] = await readRetrievalData(beir);
  const found = await readRetrievalData(directory);
  expect(found).toEqual([
    { ...expected, name: 'NanoOne' },
    { ...expected, name: 'NanoTwo' },
  ]);
  expect((await readRetrievalData(directory, { splits: ['NanoTwo'] })).map(({ name }) => name)).toEqual(['NanoTwo']);
});

const qrels = 'query-id\tcorpus-id\tscore\n';
const sound = { 'corpus.jsonl': corpus, 'queries.jsonl': queries, 'qrels/test.tsv': `${qrels}q\t1\t1\n` };
it.each<[title: string, files: Record<string, string | undefined>, message: RegExp, splits?: string[]]>([
  ['no corpus', { 'corpus.jsonl': undefined }, /has no corpus: .* corpus\.jsonl/],
  ['no qrels', { 'qrels/test.tsv': undefined }, /has no qrels/],
  ['a split that is not there', {}, /has no split dev\. It has test/, ['dev']],
  [
    'several splits and no test',
    { 'qrels/test.tsv': undefined, 'qrels/a.tsv': `${qrels}q\t1\t1\n`, 'qrels/b.tsv': `${qrels}q\t1\t1\n` },
    /but none is called test: a, b/,
  ],
  [
    'an id twice',
    { 'corpus.jsonl': `${corpus}{"_id": "1", "text": "other"}\n` },
    /row 2 \(line 3\): The id "1" occurs twice/,
  ],
  [
    'no id',
    { 'queries.jsonl': '{"id": "q", "text": "ask"}\n' },
    /row 0 \(line 1\): The id in "_id" is not there; .* id, text/,
  ],
  ['a text that is not a string', { 'queries.jsonl': '{"_id": "q", "text": 1}\n' }, /row 0 \(line 1\)/],
  ['a grade that is not a number', { 'qrels/test.tsv': `${qrels}q\t1\tyes\n` }, /The score is "yes", not a number/],
  ['ids that do not match', { 'qrels/test.tsv': `${qrels}x\t1\t1\n` }, /none of the query ids/],
  ['documents that do not match', { 'qrels/test.tsv': `${qrels}q\tx\t1\n` }, /none of the document ids/],
  ['nothing relevant', { 'qrels/test.tsv': `${qrels}q\t1\t0\n` }, /none of the query ids/],
])('refuses %s with an error that names it', async (_, changed, message, splits) => {
  const files = Object.entries({ ...sound, ...changed }).filter(
    (file): file is [string, string] => file[1] !== undefined,
  );
  const directory = await task('task', Object.fromEntries(files));
  await expect(readRetrievalData(directory, { splits })).rejects.toMatchObject({
    code: 'invalid-corpus',
    message: expect.stringMatching(message),
  });
});

it('refuses a missing folder', async () => {
  await expect(readRetrievalData(space.path('none'))).rejects.toMatchObject({ code: 'invalid-corpus' });
  await cp(beir, space.path('copy'), { recursive: true });
  expect(await isRetrievalData(space.path('none'))).toBe(false);
});

it('counts judged queries that are missing or have no text, and missing documents', async () => {
  const files = {
    'corpus.jsonl': corpus,
    'queries.jsonl': `${queries}{"_id": "e", "text": " "}\n`,
    'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq\tb\t1\nq\tnowhere\t1\nx\tb\t1\ne\tb\t1\nz\tb\t0\n',
  };
  const [found] = await readRetrievalData(await task('unknown', files));
  expect(found).toMatchObject({ missing: 1, missingQueries: 2, relevant: { q: ['b', 'nowhere'] } });
});
