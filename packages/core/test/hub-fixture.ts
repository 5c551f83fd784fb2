import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ModelFiles } from '@sentvec/core';
import { goldenModel, startHub, type HubServer } from '@sentvec/testing';
import { afterEach, beforeEach, expect } from 'vitest';

/** The model that the hub has, and its commit. */
export const name = 'sentvec/tiny-bert';
export const commit = '0123456789abcdef0123456789abcdef01234567';
export const weights = 'model.safetensors';

/** The fixture of a test: a hub, an empty cache, and the files of a model. */
export interface HubWorld {
  hub: HubServer;
  /** The folder that `HF_HOME` is set to. */
  home: string;
  /** The files of the model, without those that sentvec does not use. */
  content: Record<string, Uint8Array>;
}

/** Variables of this process's environment that the tests set. */
const variables = [
  'HF_HOME',
  'HF_HUB_CACHE',
  'HF_ENDPOINT',
  'HF_TOKEN',
  'HF_HUB_OFFLINE',
  'HUGGINGFACE_HUB_CACHE',
  'HUGGING_FACE_HUB_TOKEN',
];

/**
 * Gives each test its own hub with the model tiny-bert and an empty cache, and sets the environment variables
 * accordingly.
 */
export function useHubFixture(): HubWorld {
  const world = {} as HubWorld;
  const before = new Map(variables.map((variable) => [variable, process.env[variable]]));
  beforeEach(async () => {
    world.home = await mkdtemp(join(tmpdir(), 'sentvec-hub-'));
    world.hub = await startHub();
    world.content = {
      ...(await goldenContent()),
      'artifact.metadata': new TextEncoder().encode('{}'),
      'chat_template.jinja': new TextEncoder().encode('{{ messages[0].content }}'),
    };
    const foreign = {
      'pytorch_model.bin': new Uint8Array(10),
      'notes.md': new Uint8Array(5),
      'openvino/config.json': new Uint8Array(2),
    };
    world.hub.repositories.set(name, { commit, files: { ...world.content, ...foreign } });
    for (const variable of variables) delete process.env[variable];
    process.env['HF_HOME'] = world.home;
    process.env['HF_ENDPOINT'] = world.hub.endpoint;
  });
  afterEach(async () => {
    for (const [variable, value] of before) {
      if (value === undefined) delete process.env[variable];
      else process.env[variable] = value;
    }
    await world.hub.stop();
    await rm(world.home, { recursive: true, force: true });
  });
  return world;
}

async function goldenContent(): Promise<Record<string, Uint8Array>> {
  const golden = goldenModel('tiny-bert');
  return Object.fromEntries(
    await Promise.all((await golden.list()).map(async (path) => [path, await golden.read(path)] as const)),
  );
}

/** The folder of the model in the cache. */
export function repositoryFolder({ home }: HubWorld): string {
  return join(home, 'hub', 'models--sentvec--tiny-bert');
}

/** The names of the files in a folder and below it, without their folders. */
export async function fileNamesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
}

/** Files whose content was requested from the hub, in order. */
export function requestedFiles({ hub }: HubWorld): string[] {
  return hub.seen.filter(({ path }) => path.includes('/resolve/')).map(({ path }) => path.split(`/${commit}/`)[1]!);
}

/** The ranges that were requested from the storage server, in order (it has only the weights). */
export function requestedRanges({ hub }: HubWorld): (string | undefined)[] {
  return hub.seen.filter(({ server }) => server === 'storage').map(({ range }) => range);
}

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Compares hashes, since comparing large arrays entry by entry takes seconds. */
export async function expectFile({ content }: HubWorld, model: ModelFiles, path: string): Promise<void> {
  expect(sha256(await model.read(path))).toBe(sha256(content[path]!));
}

/** Reads all files of a model, which are those of the golden one. */
export async function expectContent(world: HubWorld, model: ModelFiles): Promise<void> {
  expect(await model.list()).toEqual(Object.keys(world.content).sort());
  for (const path of await model.list()) await expectFile(world, model, path);
}
