// The workflow with a bucket: no local files may be accessed, and only the allowed parts of the store.
import { onnx } from '@sentvec/backend-onnx';
import type { Embedder } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { openEmbeddings } from '@sentvec/corpus';
import { goldenModel, startHub, startS3, type HubServer, type S3Server } from '@sentvec/testing';
import { embedCorpusWorkflow, inProcessRuntime, restrictAccess } from '@sentvec/workflow';
import { afterAll, beforeAll, expect, it } from 'vitest';

let embedder: Embedder;
let server: S3Server;
let hub: HubServer;
const runtime = inProcessRuntime();

beforeAll(async () => {
  server = await startS3();
  hub = await startHub();
  Object.assign(process.env, server.environment, { HF_ENDPOINT: hub.endpoint });
  embedder = await loadEmbedder(goldenModel('tiny-bert'), { backend: onnx({ sessions: 1 }) });
  const text = Array.from({ length: 200 }, (_, row) => `${JSON.stringify({ text: `Row ${row} says hello.` })}\n`).join(
    '',
  );
  for (const key of ['ours/in.jsonl', 'theirs/in.jsonl']) server.put(key, text);
});
afterAll(async () => {
  await embedder.dispose();
  await runtime.close();
  await server.close();
  await hub.stop();
});

const access = restrictAccess({ roots: [], buckets: ['s3://bucket/ours', 'hf://datasets/us/data'], models: ['tiny'] });
const workflow = embedCorpusWorkflow({ embedder: async () => embedder, access });

it('embeds a corpus from a bucket into the bucket, and reports a finished output when it is requested again', async () => {
  const request = { inputs: ['s3://bucket/ours/*.jsonl'], output: 's3://bucket/ours/vectors', chunkRows: 64 };
  const result = await (await runtime.start(workflow, { model: 'tiny', request })).result();
  expect(result).toMatchObject({ output: request.output, rows: 200, rejected: 0, shards: 4 });
  expect((await openEmbeddings(request.output)).manifest.complete).toBe(true);
  const again = await runtime.start(workflow, { model: 'tiny', request: { ...request, resume: true } });
  expect(await again.result()).toMatchObject({ rows: 200, shards: 4 });
  expect([...server.objects().keys()].filter((key) => key.includes('.unfinished'))).toEqual([]);
});

it('reads an allowed data set at any revision', async () => {
  const files = { 'a.jsonl': Buffer.from('{"text":"one"}\n'), 'b.jsonl': Buffer.from('{"text":"two"}\n') };
  hub.repositories.set('datasets/us/data', { commit: 'a'.repeat(40), files, branches: ['main', 'v1'] });
  const inputs = ['hf://datasets/us/data/a.jsonl', 'hf://datasets/us/data@v1/b*.jsonl'];
  const request = { inputs, output: 's3://bucket/ours/from-the-hub' };
  const run = await runtime.start(workflow, { model: 'tiny', request });
  expect(await run.result()).toMatchObject({ rows: 2 });
});

it.each([
  ['a data set', { inputs: ['hf://datasets/them/data/a.jsonl'], output: 's3://bucket/ours/x' }],
  ['a data set whose name begins so', { inputs: ['hf://datasets/us/data-2/a.jsonl'], output: 's3://bucket/ours/x' }],
  ['an input', { inputs: ['s3://bucket/theirs/in.jsonl'], output: 's3://bucket/ours/x' }],
  ['a glob', { inputs: ['s3://bucket/*/in.jsonl'], output: 's3://bucket/ours/x' }],
  ['an output', { inputs: ['s3://bucket/ours/in.jsonl'], output: 's3://bucket/theirs/x' }],
  ['a folder', { inputs: ['s3://bucket/ours/in.jsonl'], output: '/tmp/x' }],
])('refuses %s outside of the allowed locations', async (_, request) => {
  const before = [...server.objects().keys()];
  const run = await runtime.start(workflow, { model: 'tiny', request });
  await expect(run.result()).rejects.toMatchObject({ code: 'job-refused' });
  expect([...server.objects().keys()]).toEqual(before);
});

it.each([
  ['a key that leads out of its folder', 's3://bucket/ours/../theirs/in.jsonl'],
  ['an address with a password', 'https://me:secret@host/in.jsonl'],
])('refuses %s before a run is stored', async (_, input) => {
  const request = { inputs: [input], output: 's3://bucket/ours/x' };
  const started = runtime.start(workflow, { model: 'tiny', request });
  await expect(started).rejects.toMatchObject({ code: 'invalid-argument' });
});
