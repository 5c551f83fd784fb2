// The role with which a corpus is embedded, its record in the manifest, and folders of versions before roles existed.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { embedCorpus, embedOptions, readManifest, type CorpusRequest, type Manifest } from '@sentvec/corpus';
import { expect, test } from 'vitest';
import { fakeEmbedder, fakeVector } from './fake-embedder.ts';
import { readRows, workspace } from './workspace.ts';

const space = workspace();

const withPrompt = fakeEmbedder({ documentPrompt: 'passage: ' });
const without = fakeEmbedder();

async function requestOf(more: Partial<CorpusRequest> = {}): Promise<CorpusRequest> {
  const input = await space.write('corpus.txt', 'one\n');
  return { inputs: [input], output: space.path('out'), format: 'jsonl', ...more };
}

test.each([
  [{}, 'document', 'passage: ', 'documentone'],
  [{ as: 'query' }, 'query', 'query: ', 'queryone'],
  [{ prompt: 'query' }, 'document', 'query: ', 'queryone'],
  [{ prompt: null }, 'document', '', 'one'],
] as const)('%j is embedded as %s, and the manifest records that', async (more, as, prompt, embedded) => {
  const request = await requestOf(more);
  const manifest = await embedCorpus(request, withPrompt);
  expect(manifest).toMatchObject({ options: { as }, prompt });
  expect(await readManifest(request.output)).toEqual(manifest);
  const [row] = await readRows(request.output);
  expect(row!.embedding).toEqual(fakeVector(embedded).map((value) => expect.closeTo(value, 6) as number));
});

test('route and task are passed to every call and recorded in the manifest', async () => {
  const asked: unknown[] = [];
  const routed = {
    ...without,
    embed: (async (texts: readonly string[], options: Parameters<typeof without.embed>[1]) => {
      asked.push([options?.as, options?.route, options?.task]);
      const { vectors, receipt } = await without.embed(texts, options);
      return { vectors, receipt: { ...receipt, route: 'title', task: 'separation' } };
    }) as typeof without.embed,
  };
  const manifest = await embedCorpus(await requestOf({ route: 'title', task: 'separation' }), routed);
  expect(new Set(asked.map((each) => JSON.stringify(each)))).toEqual(
    new Set([JSON.stringify(['document', 'title', 'separation'])]),
  );
  expect(manifest).toMatchObject({ route: 'title', task: 'separation', options: { route: 'title' } });
  expect(embedOptions(manifest.options)).toMatchObject({ as: 'document', route: 'title', task: 'separation' });
});

/** Creates a folder as an earlier version did: texts have the default prompt, and the manifest has no role. */
async function madeBefore(): Promise<CorpusRequest> {
  const request = await requestOf();
  await embedCorpus({ ...request, prompt: null }, without);
  const file = join(request.output, 'manifest.json');
  const { prompt: _, options, ...manifest } = JSON.parse(await readFile(file, 'utf8')) as Manifest;
  const { as: __, ...others } = options;
  await writeFile(file, JSON.stringify({ ...manifest, options: { ...others, prompt: 'default' } }));
  return request;
}

test('an old manifest has the same vector space if the model has no document prompt', async () => {
  const request = await madeBefore();
  const manifest = await embedCorpus({ ...request, resume: true }, without);
  expect(manifest.options.as).toBeUndefined();
  expect(embedOptions(manifest.options)).not.toHaveProperty('prompt');
});

test('an old manifest has another vector space if the model has a document prompt, unless the request disables it', async () => {
  const request = await madeBefore();
  await expect(embedCorpus({ ...request, resume: true }, withPrompt)).rejects.toMatchObject({
    code: 'space-mismatch',
    details: { parts: ['prompt'] },
    message: expect.stringMatching(/prompt \(not recorded there, "passage: " here\)/u) as string,
  });
  expect((await embedCorpus({ ...request, resume: true, prompt: null }, withPrompt)).rows).toBe(1);
});
