import { hubUrlModel, type DownloadProgress } from '@sentvec/core';
import { gitId } from '@sentvec/testing';
import { describe, expect, it, vi } from 'vitest';
import { commit, expectContent, expectFile, name, weights, useHubFixture } from './hub-fixture.ts';

const world = useHubFixture();

describe('hubUrlModel', () => {
  it('reads the files of a pinned commit', async () => {
    const reports: DownloadProgress[] = [];
    const model = await hubUrlModel(name, {
      endpoint: world.hub.endpoint,
      onProgress: (progress) => reports.push(progress),
    });
    expect(model).toMatchObject({ name, revision: commit });
    await expectContent(world, model);
    expect(await model.size!(weights)).toBe(world.content[weights]!.length);
    expect(reports.findLast(({ file }) => file === weights)!.loadedBytes).toBe(world.content[weights]!.length);
  });

  it('resumes after a dropped connection, and refuses a wrong hash', async () => {
    world.hub.cuts.set(weights, [1000]);
    const model = await hubUrlModel(name, { endpoint: world.hub.endpoint, revision: commit });
    await expectFile(world, model, weights);
    world.hub.damages.set(weights, 1);
    await expect(model.read(weights)).rejects.toMatchObject({ code: 'download-failed', details: { file: weights } });
  });

  it('reads a file that arrives in many chunks, and refuses a small file whose git id is wrong', async () => {
    world.content[weights] = Uint8Array.from({ length: 3.5 * 2 ** 20 }, (_, index) => index ^ (index >> 8));
    world.hub.repositories.set(name, { commit, files: world.content });
    const model = await hubUrlModel(name, { endpoint: world.hub.endpoint });
    await expectFile(world, model, weights);
    world.hub.damages.set('config.json', 1);
    await expect(model.read('config.json')).rejects.toMatchObject({
      code: 'download-failed',
      details: { file: 'config.json', expected: gitId(world.content['config.json']!) },
    });
    await expectFile(world, model, 'config.json');
  });

  it('reads a file that arrives in a single chunk', async () => {
    world.content[weights] = new Uint8Array(3.5 * 2 ** 20).fill(7);
    world.hub.repositories.set(name, { commit, files: world.content });
    const ask = fetch;
    vi.stubGlobal('fetch', async (...request: Parameters<typeof fetch>) => {
      const answer = await ask(...request);
      return new Response(new Uint8Array(await answer.arrayBuffer()), answer);
    });
    try {
      const model = await hubUrlModel(name, { endpoint: world.hub.endpoint, retries: 0 });
      await expectFile(world, model, weights);
      expect(await model.size!(weights)).toBe(3.5 * 2 ** 20);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('refuses files and models that do not exist', async () => {
    const model = await hubUrlModel(name, { endpoint: world.hub.endpoint });
    await expect(model.read('absent.json')).rejects.toMatchObject({ code: 'invalid-model' });
    await expect(hubUrlModel('sentvec/other', { endpoint: world.hub.endpoint })).rejects.toMatchObject({
      code: 'model-not-found',
      message: expect.stringContaining('(404: RepoNotFound, says the hub). Check'),
    });
    world.hub.statuses.set('config.json', [404, 400]);
    await expect(model.read('config.json')).rejects.toMatchObject({
      code: 'model-not-found',
      message: expect.stringContaining(`has no file config.json at the revision ${commit}`),
    });
    await expect(model.read('config.json')).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining(`does not provide config.json of the model ${name}`),
    });
  });
});
