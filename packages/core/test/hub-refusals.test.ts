import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hubUrlModel } from '@sentvec/core';
import { hubModel } from '@sentvec/core/node';
import { describe, expect, it } from 'vitest';
import { commit, expectContent, name, useHubFixture } from './hub-fixture.ts';

const world = useHubFixture();

describe('a model that cannot be downloaded', () => {
  it('because it is private or gated: 401 without a token, 403 with one', async () => {
    world.hub.repositories.set(name, { commit, files: world.content, token: 'secret' });
    await expect(hubModel(name)).rejects.toMatchObject({
      code: 'model-access-denied',
      message: expect.stringMatching(/401.*set HF_TOKEN/su),
    });
    await expect(hubModel(name, { token: 'other' })).rejects.toMatchObject({
      code: 'model-access-denied',
      message: expect.stringMatching(/403.*licence/su),
    });
  });

  it('because there is none', async () => {
    await expect(hubModel('sentvec/other')).rejects.toMatchObject({
      code: 'model-not-found',
      message: expect.stringContaining('sentvec/other'),
    });
    await expect(hubModel(name, { revision: 'v9' })).rejects.toMatchObject({
      code: 'model-not-found',
      message: expect.stringContaining('v9'),
    });
  });

  it('because the hub cannot be reached', async () => {
    await world.hub.stop();
    await expect(hubModel(name, { retries: 0 })).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining('HF_ENDPOINT'),
    });
  });

  it('because the response is invalid', async () => {
    world.hub.repositories.set(name, { commit: '../../outside', files: world.content });
    await expect(hubModel(name)).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining('proxy'),
    });
    world.hub.repositories.set(name, { commit, files: { 'a\\..\\config.json': new Uint8Array(3) } });
    await expect(hubModel(name)).rejects.toMatchObject({ code: 'invalid-model' });
  });

  it('because the response is a web page', async () => {
    const server = createServer((_, response) => response.end('<html>Please log in to the network.</html>'));
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const refusal = { code: 'download-failed', message: expect.stringContaining('proxy') };
    try {
      await expect(hubModel(name, { endpoint })).rejects.toMatchObject(refusal);
      await expect(hubUrlModel(name, { endpoint })).rejects.toMatchObject(refusal);
      await expect((await hubUrlModel(name, { endpoint, revision: commit })).list()).rejects.toMatchObject(refusal);
    } finally {
      server.close();
    }
  });

  it('because a path leads out of the model; hidden folders are ignored', async () => {
    world.hub.repositories.set(name, {
      commit,
      files: { ...world.content, '../../outside/config.json': new Uint8Array(3), '/etc/vocab.txt': new Uint8Array(3) },
    });
    await expect(hubModel(name)).rejects.toMatchObject({ code: 'invalid-model' });
    world.hub.repositories.set(name, {
      commit,
      files: { ...world.content, '../../outside/config.json': new Uint8Array(3) },
    });
    await expectContent(world, await hubModel(name));
  });

  it('because the cache cannot be written', async () => {
    await writeFile(join(world.home, 'file'), '');
    await expect(hubModel(name, { cacheDir: join(world.home, 'file') })).rejects.toMatchObject({ code: 'io-failed' });
  });

  it.each(['', '../x', 'a/b/c', 'a/../b', '/a', 'a/', '.a/b', 'a--b/c', 'a b/c', 'a\\b', 'a/b?c', 'C:/a'])(
    'because %j is not a name',
    async (wrong) => {
      await expect(hubModel(wrong)).rejects.toMatchObject({ code: 'invalid-argument' });
      await expect(hubUrlModel(wrong)).rejects.toMatchObject({ code: 'invalid-argument' });
    },
  );

  it.each(['', '..', 'a/../b', '/a', 'a b', '-x'])('because %j is not a revision', async (revision) => {
    await expect(hubModel(name, { revision })).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('because the endpoint is not an address', async () => {
    await expect(hubModel(name, { endpoint: 'ftp://hub' })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
