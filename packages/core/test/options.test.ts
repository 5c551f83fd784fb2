import { plainBackend } from '@sentvec/architectures';
import * as core from '@sentvec/core';
import * as node from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';
import { expect, test } from 'vitest';
import { fakeParts } from './fake-parts.ts';

const vectors: core.Matrix = { data: Float32Array.of(1, 0, 0, 1), rows: 2, cols: 2 };
const embedder = core.createEmbedder(fakeParts());
// A misspelt option. `as object` hides it from the type checker, as in a JavaScript caller.
const wrong = { topk: 3 } as object;

const calls: Readonly<Record<string, () => unknown>> = {
  'embed()': () => embedder.embed('a', wrong),
  'embedPieces()': () => embedder.embedPieces(['a'], wrong),
  'embedStream()': async () => {
    for await (const _ of embedder.embedStream(['a'], wrong)) throw new Error('unexpected');
  },
  'fingerprint()': () => embedder.fingerprint(wrong),
  'loadEmbedder()': () => core.loadEmbedder(goldenModel('tiny-bert'), { backend: plainBackend(), ...wrong }),
  'loadEmbedder() in Node': () => node.loadEmbedder('no such folder', wrong),
  'splitByTokens()': () => core.splitByTokens('a', embedder, wrong),
  'splitBySentences()': () => core.splitBySentences('a', embedder, wrong),
  'semanticSearch()': () => core.semanticSearch(vectors, vectors, wrong),
  'paraphraseMining()': () => core.paraphraseMining(vectors, wrong),
  'communityDetection()': () => core.communityDetection(vectors, wrong),
  'informationRetrieval()': () => core.informationRetrieval({} as core.InformationRetrievalTask, wrong),
  'quantize()': () => core.quantize(vectors, 'int8', wrong),
  'searchQuantized()': () => core.searchQuantized(vectors, core.quantize(vectors, 'int8'), wrong),
  'truncateEmbeddings()': () => core.truncateEmbeddings(vectors, 1, wrong),
  'urlModel()': () => core.urlModel('https://models.test/m', wrong),
  'hubUrlModel()': () => core.hubUrlModel('a/b', wrong),
  'cachedModel()': () => core.cachedModel(goldenModel('tiny-bert'), wrong),
  'hubModel()': () => node.hubModel('a/b', wrong),
  'directoryModel()': () => node.directoryModel('.', wrong),
};

test.each(Object.keys(calls))('%s refuses an unknown option', async (call) => {
  const name = call.split(' ')[0]!;
  await expect((async () => calls[call]!())()).rejects.toMatchObject({
    code: 'invalid-argument',
    message: expect.stringContaining(`${name} has no option "topk". It has `),
  });
});

test('maxWait is an option of embedStream() only', async () => {
  const options = { maxWait: 5 } as object;
  const refused = { code: 'invalid-argument', message: expect.stringContaining('no option "maxWait"') };
  await expect(embedder.embed('a', options)).rejects.toMatchObject(refused);
  await expect(embedder.embedPieces(['a'], { maxTokens: 8, ...options })).rejects.toMatchObject(refused);
  for await (const { row } of embedder.embedStream(['a'], options)) expect(row).toBe(0);
});

test('options with the value undefined are ignored', async () => {
  expect((await embedder.embed('a', { ...({ topk: undefined } as object), prompt: undefined })).vectors.rows).toBe(1);
});

test.each([NaN, -1, 0.5, Infinity, '3'])('hubModel() and hubUrlModel() refuse retries: %s', async (retries) => {
  const wrongCount = { retries } as { retries: number };
  for (const model of [core.hubUrlModel('a/b', wrongCount), node.hubModel('a/b', wrongCount)])
    await expect(model).rejects.toMatchObject({
      code: 'invalid-argument',
      message: /^retries must be a whole number/u,
    });
});
