import { mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DownloadProgress } from '@sentvec/core';
import { hubModel } from '@sentvec/core/node';
import { gitId } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { commit, expectContent, requestedFiles, name, repositoryFolder, sha256, useHubFixture } from './hub-fixture.ts';

const world = useHubFixture();

describe('hubModel', () => {
  it('downloads what sentvec needs into the cache of the hub, weights only when they are read', async () => {
    const model = await hubModel(name);
    expect(model).toMatchObject({ name, revision: commit });
    expect(requestedFiles(world)).not.toContain('model.safetensors');
    await expectContent(world, model);
    expect(requestedFiles(world).sort()).toEqual(await model.list());
    const weights = join(repositoryFolder(world), 'snapshots', commit, 'model.safetensors');
    expect(await readlink(weights)).toBe(join('..', '..', 'blobs', sha256(world.content['model.safetensors']!)));
    expect(await readlink(join(model.directory, '1_Pooling', 'config.json'))).toBe(
      join('..', '..', '..', 'blobs', gitId(world.content['1_Pooling/config.json']!)),
    );
    expect(await readFile(join(repositoryFolder(world), 'refs', 'main'), 'utf8')).toBe(commit);
    expect(await readdir(join(repositoryFolder(world), 'blobs'))).toHaveLength(
      new Set(Object.values(world.content).map(sha256)).size,
    );
  });

  it('returns sizes and hashes of large files without downloading them', async () => {
    const model = await hubModel(name);
    expect(await model.size!('model.safetensors')).toBe(world.content['model.safetensors']!.length);
    expect(await model.sha256!('model.safetensors')).toBe(sha256(world.content['model.safetensors']!));
    expect(requestedFiles(world)).not.toContain('model.safetensors');
    expect(await model.sha256!('config.json')).toBe(sha256(world.content['config.json']!));
  });

  it('reports the bytes of each file', async () => {
    const reports: DownloadProgress[] = [];
    const model = await hubModel(name, { onProgress: (progress) => reports.push(progress) });
    await model.read('model.safetensors');
    for (const [path, bytes] of Object.entries(world.content)) {
      const loaded = reports.filter(({ file }) => file === path).map(({ loadedBytes }) => loadedBytes);
      expect(loaded.at(-1)).toBe(bytes.length);
      expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
    }
    expect(reports.every(({ file, totalBytes }) => totalBytes === world.content[file]!.length)).toBe(true);
  });

  it('sends the token to the hub, and to no other server', async () => {
    world.hub.repositories.set(name, { commit, files: world.content, token: 'secret' });
    process.env['HF_TOKEN'] = 'secret';
    await expectContent(world, await hubModel(name));
    const tokens = (server: string): Set<string | undefined> =>
      new Set(world.hub.seen.filter((request) => request.server === server).map(({ authorization }) => authorization));
    expect(tokens('hub')).toEqual(new Set(['Bearer secret']));
    expect(tokens('storage')).toEqual(new Set([undefined]));
  });

  it('finds the token that was saved by a login', async () => {
    world.hub.repositories.set(name, { commit, files: world.content, token: 'saved' });
    await writeFile(join(world.home, 'token'), 'saved\n');
    expect((await hubModel(name)).revision).toBe(commit);
  });

  it('accepts cache, endpoint and token as options', async () => {
    world.hub.repositories.set(name, { commit, files: world.content, token: 'secret' });
    process.env['HF_ENDPOINT'] = 'http://127.0.0.1:1';
    process.env['HF_TOKEN'] = 'wrong';
    const model = await hubModel(name, {
      endpoint: `${world.hub.endpoint}/`,
      token: 'secret',
      cacheDir: join(world.home, 'elsewhere'),
    });
    expect(model.directory).toContain(join('elsewhere', 'models--sentvec--tiny-bert', 'snapshots', commit));
  });

  it('prefers HF_HUB_CACHE to HF_HOME', async () => {
    process.env['HF_HUB_CACHE'] = join(world.home, 'my-cache');
    expect((await hubModel(name)).directory).toContain(join('my-cache', 'models--sentvec--tiny-bert'));
  });
});

describe('a version that is in the cache', () => {
  it('is used without the hub when the revision is a commit', async () => {
    await expectContent(world, await hubModel(name, { revision: commit }));
    world.hub.seen.length = 0;
    await expectContent(world, await hubModel(name, { revision: commit }));
    expect(world.hub.seen).toEqual([]);
  });

  it('is looked up again when the revision is a branch, and only new content is downloaded', async () => {
    await expectContent(world, await hubModel(name));
    const next = 'fedcba9876543210fedcba9876543210fedcba98';
    world.content = { ...world.content, 'config.json': new TextEncoder().encode('{"changed": true}') };
    world.hub.repositories.set(name, { commit: next, files: world.content });
    world.hub.seen.length = 0;
    const model = await hubModel(name);
    await expectContent(world, model);
    expect(model.revision).toBe(next);
    const asked = world.hub.seen.filter(({ path }) => path.includes('/resolve/'));
    expect(asked.map(({ path }) => path)).toEqual([`/${name}/resolve/${next}/config.json`]);
  });

  it('is used offline', async () => {
    await expectContent(world, await hubModel(name));
    await world.hub.stop();
    process.env['HF_HUB_OFFLINE'] = '1';
    const model = await hubModel(name);
    expect(model.revision).toBe(commit);
    await expectContent(world, model);
  });

  it('is used when the hub cannot be reached, without long waits', async () => {
    await expectContent(world, await hubModel(name));
    await world.hub.stop();
    const model = await hubModel(name, { retries: 100 });
    expect(model.revision).toBe(commit);
    await expectContent(world, model);
  });

  it('is used offline when another program has downloaded it', async () => {
    const snapshot = join(repositoryFolder(world), 'snapshots', commit);
    await mkdir(join(snapshot, '1_Pooling'), { recursive: true });
    await mkdir(join(repositoryFolder(world), 'refs'));
    await writeFile(join(repositoryFolder(world), 'refs', 'main'), commit);
    for (const [path, bytes] of Object.entries(world.content)) await writeFile(join(snapshot, path), bytes);
    await expectContent(world, await hubModel(name, { offline: true }));
    expect(world.hub.seen).toEqual([]);
  });

  it('is not used offline when it lacks weights; the error names what is missing', async () => {
    const model = await hubModel(name);
    await expect(hubModel(name, { offline: true })).rejects.toMatchObject({
      code: 'model-not-found',
      message: expect.stringContaining('HF_HUB_OFFLINE'),
    });
    await model.read('model.safetensors');
    await rm(join(model.directory, 'config.json'));
    await expect(hubModel(name, { offline: true })).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining('config.json'),
    });
  });
});
