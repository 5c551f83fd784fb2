import { cachedModel, hubUrlModel, memoryModel, type ModelFiles } from '@sentvec/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { commit, expectContent, name, useHubFixture } from './hub-fixture.ts';

/** A stub of the browser's Cache storage with the methods that are used. */
class StubCaches {
  readonly entries = new Map<string, Uint8Array>();
  full = false;

  async open(cache: string) {
    return {
      match: async (key: string) => {
        const content = this.entries.get(`${cache} ${key}`);
        return content && new Response(new Uint8Array(content));
      },
      put: async (key: string, response: Response) => {
        if (this.full) throw new DOMException('Quota exceeded', 'QuotaExceededError');
        this.entries.set(`${cache} ${key}`, new Uint8Array(await response.arrayBuffer()));
      },
    };
  }
}

let caches: StubCaches;
beforeEach(() => {
  caches = new StubCaches();
  vi.stubGlobal('caches', caches);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

/** A model that records which methods are called. */
function counted(): { model: ModelFiles; requests: string[] } {
  const requests: string[] = [];
  const files = memoryModel('m', { 'config.json': '{}', 'a.bin': new Uint8Array(7) });
  const model: ModelFiles = {
    name: 'm',
    list: async () => {
      requests.push('list');
      return files.list();
    },
    read: async (path) => {
      requests.push(path);
      return files.read(path);
    },
  };
  return { model, requests };
}

describe('cachedModel', () => {
  it('reads the list and each file from the source once per version', async () => {
    const { model, requests } = counted();
    const visit = async (version: string): Promise<void> => {
      const cached = cachedModel(model, { version });
      expect(await cached.list()).toEqual(['a.bin', 'config.json']);
      expect((await cached.read('a.bin')).length).toBe(7);
      expect(await cached.size!('a.bin')).toBe(7);
      expect(await cached.size!('config.json')).toBe(2);
    };
    await visit('1');
    expect(requests).toEqual(['list', 'a.bin', 'config.json']);
    await visit('1');
    expect(requests).toHaveLength(3);
    await visit('2');
    expect(requests).toHaveLength(6);
  });

  it('works with a warning when there is no space left', async () => {
    const { model } = counted();
    const warnings: string[] = [];
    caches.full = true;
    const cached = cachedModel(model, { version: '1', onWarning: (message) => warnings.push(message) });
    expect((await cached.read('a.bin')).length).toBe(7);
    expect(await cached.list()).toHaveLength(2);
    expect(warnings).toEqual([
      expect.stringMatching(/^a\.bin of m could not be stored: .*Quota exceeded/u),
      expect.stringMatching(/^The list of files of m could not be stored/u),
    ]);
  });

  it('is refused without a version, and where there is no Cache storage', () => {
    const { model } = counted();
    expect(() => cachedModel(model)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
    vi.stubGlobal('caches', undefined);
    expect(() => cachedModel(model, { version: '1' })).toThrow(
      expect.objectContaining({ code: 'backend-unavailable' }),
    );
  });
});

describe('cachedModel of a commit of the hub', () => {
  const world = useHubFixture();

  it('makes no request on the second visit, and works when the hub cannot be reached', async () => {
    const { endpoint } = world.hub;
    const visit = async (): Promise<void> => {
      const hub = await hubUrlModel(name, { endpoint, revision: commit });
      await expectContent(world, cachedModel(hub));
    };
    await visit();
    world.hub.seen.length = 0;
    await visit();
    expect(world.hub.seen).toEqual([]);
    await world.hub.stop();
    await visit();
  });
});
