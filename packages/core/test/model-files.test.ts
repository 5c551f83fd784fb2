import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memoryModel, readJson, urlModel, type ModelFiles } from '@sentvec/core';
import { directoryModel, openModel } from '@sentvec/core/node';
import { goldenModel, goldenPath } from '@sentvec/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';

let root = '';

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sentvec-model-files-'));
  await mkdir(join(root, 'model', '1_Pooling'), { recursive: true });
  await writeFile(join(root, 'model', 'config.json'), '{}');
  await writeFile(join(root, 'model', '1_Pooling', 'config.json'), 'pool');
  await writeFile(join(root, 'secret.txt'), 'secret');
});

afterEach(() => rm(root, { recursive: true, force: true }));

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

test('a local folder gives its files, their contents, sizes and hashes', async () => {
  const model = await directoryModel(join(root, 'model'));
  expect(await model.list()).toEqual(['1_Pooling/config.json', 'config.json']);
  expect(text(await model.read('1_Pooling/config.json'))).toBe('pool');
  expect(await model.size?.('1_Pooling/config.json')).toBe(4);
  expect(await model.sha256?.('1_Pooling/config.json')).toBe(createHash('sha256').update('pool').digest('hex'));
  await expect(model.read('nothing.json')).rejects.toMatchObject({
    code: 'invalid-model',
    message: /no file nothing\.json/u,
  });
  await expect(model.read('1_Pooling')).rejects.toMatchObject({ code: 'invalid-model' });
});

test.each([
  '../secret.txt',
  '/etc/passwd',
  'a//b',
  './config.json',
  '1_Pooling/../config.json',
  'C:/x',
  'a\\b',
  '',
  'a\0b',
])('no path leaves the model: %j', async (path) => {
  const model = await directoryModel(join(root, 'model'));
  for (const files of [model, memoryModel('memory', { 'config.json': '{}' })])
    await expect(files.read(path)).rejects.toMatchObject({ code: 'invalid-model' });
});

test('a file larger than memory is refused with its size', async () => {
  const file = join(root, 'model', 'model.safetensors');
  await writeFile(file, '');
  await truncate(file, 2 ** 43);
  const model = await directoryModel(join(root, 'model'));
  expect(await model.size?.('model.safetensors')).toBe(2 ** 43);
  await expect(model.read('model.safetensors')).rejects.toMatchObject({
    code: 'io-failed',
    message: expect.stringMatching(/model\.safetensors has 8796093022208 bytes, more than fit into memory/u),
  });
});

test('an endless download of JSON is aborted', async () => {
  const server = createServer((_, response) => {
    const send = (): void => {
      while (response.write(' '.repeat(2 ** 20)));
    };
    response.on('drain', send);
    send();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const model = urlModel(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { files: ['config.json'] });
    const message = expect.stringContaining('it has more than 134217728 bytes');
    await expect(readJson(model, 'config.json')).rejects.toMatchObject({ code: 'download-failed', message });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('an error of a server is distinguished from a missing file, and the next call tries again', async () => {
  let status = 503;
  // Without the last three, a text would have other tokens or be truncated differently.
  const existing = ['config.json', 'added_tokens.json', 'artifact.metadata', 'sentence_roberta_config.json'];
  const server = createServer((request, response) => {
    const exists = existing.some((path) => request.url === `/${path}`);
    response.writeHead(exists ? status : 404).end(exists ? '{}' : 'no such file');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const model = urlModel(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    for (status of [503, 429]) {
      const refusal = {
        code: 'download-failed',
        message: expect.stringContaining(`the server responded with status ${status}`),
      };
      await expect(model.list()).rejects.toMatchObject(refusal);
      await expect(model.read('config.json')).rejects.toMatchObject(refusal);
    }
    status = 200;
    expect(await model.list()).toEqual(existing.toSorted());
    expect(text(await model.read('config.json'))).toBe('{}');
    await expect(model.read('modules.json')).rejects.toMatchObject({ code: 'invalid-model' });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

const layouts =
  /^(?:st6-(?:bert|layernorm|router|router-static|static)|late-\w+|splade-(?:bert-max|inference-free)|rerank-(?:pooled-dense|qwen3-lm)|tiny-(?:bert|gemma3|jina3-tasks))$/u;

test('every type of model folder has the same files at a URL as on disk', async () => {
  // Models do not need these files: expected values of tests, and settings for generating texts.
  const isRequested = (path: string): boolean => !/^(?:expected|tokens|generation_config)\.json$/u.test(path);
  const folders = new Map<string, ModelFiles>(
    fs
      .readdirSync(goldenPath('models'))
      .filter((name) => layouts.test(name))
      .map((name) => [name, goldenModel(name)]),
  );
  const bert = folders.get('tiny-bert')!;
  folders.set(
    'adapter',
    memoryModel('adapter', {
      'config.json': await bert.read('config.json'),
      'model.safetensors': '',
      'adapter_config.json': '{}',
      'adapter_model.safetensors': '',
      'idf.json': '{}',
    }),
  );
  const parts = ['retrieval_query', 'retrieval'].flatMap((task) => [
    `${task}/adapter_config.json`,
    `${task}/adapter_model.safetensors`,
  ]);
  folders.set('tasks', memoryModel('tasks', Object.fromEntries(['config.json', ...parts].map((path) => [path, '{}']))));
  const server = createServer((request, response) => {
    void (async () => {
      const [, name = '', ...path] = request.url!.split('/');
      const content = await folders
        .get(name)!
        .read(path.join('/'))
        .catch(() => undefined);
      response.writeHead(content === undefined ? 404 : 200).end(content);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await Promise.all(
      [...folders].map(async ([name, folder]) => {
        const model = urlModel(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}/`);
        expect([name, await model.list()]).toEqual([name, (await folder.list()).filter(isRequested).toSorted()]);
      }),
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('symbolic links may lead to other files of the model, but not out of it', async () => {
  await symlink(join(root, 'secret.txt'), join(root, 'model', 'vocab.txt'));
  await symlink(join(root, 'model', 'config.json'), join(root, 'model', 'same.json'));
  await symlink(root, join(root, 'model', 'up'));
  const model = await directoryModel(join(root, 'model'));
  expect(text(await model.read('same.json'))).toBe('{}');
  for (const path of ['vocab.txt', 'up/secret.txt']) {
    await expect(model.read(path)).rejects.toMatchObject({
      code: 'invalid-model',
      message: /outside the model's folder/u,
    });
    await expect(model.sha256?.(path)).rejects.toMatchObject({ code: 'invalid-model' });
  }
});

test('a snapshot in the cache of the hub may link to the blobs of its repository, and to nothing else', async () => {
  const repository = join(root, 'models--org--name');
  const snapshot = join(repository, 'snapshots', 'abc');
  await mkdir(snapshot, { recursive: true });
  await mkdir(join(repository, 'blobs'));
  await writeFile(join(repository, 'blobs', '1234'), 'blob');
  await symlink('../../blobs/1234', join(snapshot, 'config.json'));
  await symlink(join(root, 'secret.txt'), join(snapshot, 'vocab.txt'));
  const model = await directoryModel(snapshot);
  expect(text(await model.read('config.json'))).toBe('blob');
  await expect(model.read('vocab.txt')).rejects.toMatchObject({ code: 'invalid-model' });
});

test('a model is opened by the path of its folder; a path that does not exist is refused', async () => {
  expect((await openModel(join(root, 'model'))).directory).toBe((await directoryModel(join(root, 'model'))).directory);
  await expect(openModel(join(root, 'config.json'))).rejects.toMatchObject({ code: 'model-not-found' });
  await expect(openModel(join(root, 'secret.txt'))).rejects.toMatchObject({
    code: 'model-not-found',
    message: /is not a folder/u,
  });
  for (const name of ['./nowhere', '../nowhere', '/no/where', '~/nowhere', 'a/b/c', 'with space']) {
    await expect(openModel(name)).rejects.toMatchObject({ code: 'model-not-found', message: /no model folder/u });
  }
});

test('a model in memory lists and reads its files', async () => {
  const model = memoryModel('tiny', { 'b.txt': 'ü', 'a.bin': Uint8Array.of(1, 2) });
  expect(await model.list()).toEqual(['a.bin', 'b.txt']);
  expect(text(await model.read('b.txt'))).toBe('ü');
  expect([await model.size?.('a.bin'), await model.size?.('b.txt')]).toEqual([2, 2]);
  await expect(model.read('c')).rejects.toMatchObject({ code: 'invalid-model' });
  expect(() => memoryModel('bad', { '../x': '' })).toThrow(/stay inside/u);
});

test('a file that exists but cannot be read is distinguished from a missing one', async () => {
  const model = await directoryModel(join(root, 'model'));
  const { open } = fs.promises;
  fs.promises.open = () => Promise.reject(Object.assign(new Error('EMFILE'), { code: 'EMFILE', syscall: 'open' }));
  syncBuiltinESMExports();
  try {
    const file = join(root, 'model', 'config.json');
    await expect(model.read('config.json')).rejects.toMatchObject({
      code: 'io-failed',
      message: `Reading failed: ${file} (EMFILE). Too many files are open. Raise the limit of this process (ulimit -n).`,
      details: { file, errno: 'EMFILE' },
    });
  } finally {
    fs.promises.open = open;
    syncBuiltinESMExports();
  }
  await symlink('loop', join(root, 'model', 'loop'));
  await expect(model.read('loop')).rejects.toMatchObject({ code: 'invalid-model' });
});
