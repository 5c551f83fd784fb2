import { execFile } from 'node:child_process';
import { lstat, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { DownloadProgress } from '@sentvec/core';
import { hubModel } from '@sentvec/core/node';
import { describe, expect, it } from 'vitest';
import {
  expectContent,
  expectFile,
  requestedFiles,
  fileNamesBelow,
  name,
  requestedRanges,
  repositoryFolder,
  sha256,
  weights,
  useHubFixture,
} from './hub-fixture.ts';

const world = useHubFixture();

describe('a broken download', () => {
  it('is reported without the signature in the URL of the storage server', async () => {
    world.hub.statuses.set(`storage:${weights}`, [503, 404]);
    const model = await hubModel(name, { retries: 0 });
    for (const code of ['download-failed', 'model-not-found']) {
      const error: unknown = await model.read(weights).catch((failure: unknown) => failure);
      expect(error).toMatchObject({ code });
      expect(JSON.stringify([error, String(error), String((error as Error).cause)])).not.toContain('signed');
    }
  });

  it('resumes where the connection was dropped', async () => {
    world.hub.cuts.set(weights, [1000, 500]);
    const model = await hubModel(name, { retries: 1 });
    await expectFile(world, model, weights);
    const ranges = requestedRanges(world);
    expect(ranges).toEqual([undefined, 'bytes=1000-', 'bytes=1500-']);
  });

  it('starts again when the server ignores the requested range', async () => {
    world.hub.cuts.set(weights, [1000]);
    world.hub.ignoresRange = true;
    await expectFile(world, await hubModel(name), weights);
    expect(requestedRanges(world)).toEqual([undefined, 'bytes=1000-']);
  });

  it('is continued by a later attempt after it failed', async () => {
    world.hub.cuts.set(weights, [700, 0]);
    const model = await hubModel(name, { retries: 0 });
    await expect(model.read(weights)).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining(weights),
    });
    expect(await fileNamesBelow(join(repositoryFolder(world), 'snapshots'))).not.toContain(weights);
    expect(await readdir(join(repositoryFolder(world), 'blobs'))).not.toContain(sha256(world.content[weights]!));
    world.hub.cuts.clear();
    world.hub.seen.length = 0;
    await expectFile(world, await hubModel(name), weights);
    expect(requestedRanges(world)).toEqual(['bytes=700-']);
    expect(
      (await fileNamesBelow(repositoryFolder(world))).filter((file) => /incomplete|lock|temporary/u.test(file)),
    ).toEqual([]);
  });

  it('is repeated after failures of the server, and given up after too many', async () => {
    world.hub.statuses.set('revision', [503]);
    world.hub.statuses.set('config.json', [500]);
    const model = await hubModel(name, { retries: 1 });
    await expectFile(world, model, 'config.json');
    world.hub.statuses.set('tree', [502, 429]);
    await expect(hubModel(name, { cacheDir: join(world.home, 'other'), retries: 1 })).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining('429'),
    });
  });

  it('of content with a wrong hash leaves nothing behind', async () => {
    world.hub.damages.set(weights, 99);
    const model = await hubModel(name);
    await expect(model.read(weights)).rejects.toMatchObject({
      code: 'download-failed',
      details: { file: weights, expected: sha256(world.content[weights]!) },
    });
    expect(requestedRanges(world)).toHaveLength(1);
    const left = await fileNamesBelow(repositoryFolder(world));
    expect(left.filter((file) => file.startsWith(sha256(world.content[weights]!)) || file === weights)).toEqual([]);
    world.hub.damages.clear();
    await expectFile(world, model, weights);
  });

  it('of a small file with a wrong hash leaves nothing behind', async () => {
    world.hub.damages.set('tokenizer.json', 1);
    await expect(hubModel(name)).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining('tokenizer.json'),
    });
    await expectContent(world, await hubModel(name));
  });

  it('starts again when the partial file of an earlier attempt is damaged', async () => {
    world.hub.cuts.set(weights, [900, 0]);
    world.hub.damages.set(weights, 1);
    await expect((await hubModel(name, { retries: 0 })).read(weights)).rejects.toMatchObject({
      code: 'download-failed',
    });
    world.hub.cuts.clear();
    await expectFile(world, await hubModel(name), weights);
  });

  it('stops when it is aborted, and keeps the received bytes', async () => {
    const controller = new AbortController();
    world.hub.cuts.set(weights, [800]);
    const onProgress = ({ file, loadedBytes }: DownloadProgress): void => {
      if (file === weights && loadedBytes > 0) controller.abort();
    };
    const model = await hubModel(name, { signal: controller.signal, onProgress });
    await expect(model.read(weights)).rejects.toMatchObject({ code: 'aborted' });
    await expect(hubModel(name, { signal: controller.signal })).rejects.toMatchObject({ code: 'aborted' });
    const incomplete = (await readdir(join(repositoryFolder(world), 'blobs'))).find((file) =>
      file.endsWith('.incomplete'),
    );
    expect((await lstat(join(repositoryFolder(world), 'blobs', incomplete!))).size).toBe(800);
  });

  it('of a process that died is resumed', async () => {
    const model = await hubModel(name);
    const blob = join(repositoryFolder(world), 'blobs', sha256(world.content[weights]!));
    await writeFile(`${blob}.0badcafe.incomplete`, world.content[weights]!.subarray(0, 600));
    await writeFile(`${blob}.00000000.incomplete`, world.content[weights]!.subarray(0, 10));
    await writeFile(`${blob}.lock`, '');
    await utimes(`${blob}.lock`, new Date(0), new Date(0));
    await expectFile(world, model, weights);
    expect(requestedRanges(world)).toEqual(['bytes=600-']);
    expect(
      (await fileNamesBelow(repositoryFolder(world))).filter((file) => /incomplete|lock|stale/u.test(file)),
    ).toEqual([]);
  });

  it('happens once when several processes need the file at the same time', async () => {
    const program = `import { hubModel } from '@sentvec/core/node';
      const model = await hubModel('${name}');
      for (const path of await model.list()) await model.read(path);`;
    const run = promisify(execFile);
    const cwd = fileURLToPath(new URL('..', import.meta.url));
    await Promise.all([1, 2, 3].map(() => run(process.execPath, ['--input-type=module', '--eval', program], { cwd })));
    const model = await hubModel(name);
    await expectContent(world, model);
    expect(requestedFiles(world).sort()).toEqual(await model.list());
  });

  it('happens once when several models are opened at the same time', async () => {
    const models = await Promise.all(Array.from({ length: 4 }, () => hubModel(name)));
    await Promise.all(models.map((model) => expectContent(world, model)));
    expect(requestedFiles(world).sort()).toEqual(await models[0]!.list());
  });
});
