// Data sets of the Hugging Face Hub: the contract of read-only storages, revisions, tokens, and error responses.
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hubStorage, locateFile, openStorage, pinAddresses, withoutRevision, type FileVersion } from '@sentvec/storage';
import { startHub, storageContract, type HubServer } from '@sentvec/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

let hub: HubServer;
let environment: Readonly<Record<string, string>>;
let home: string;
let repositories = 0;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'sentvec-hub-'));
  hub = await startHub();
  environment = { HF_ENDPOINT: hub.endpoint, HF_HOME: home };
});
beforeEach(() => {
  hub.seen.length = 0;
  hub.statuses.clear();
  hub.refusalHeaders = {};
  hub.foreignEtags = false;
});
afterAll(async () => {
  await hub.stop();
  await rm(home, { recursive: true });
});

/** Adds a file to a data set, as a new commit. */
function commitFile(name: string, key: string, content: Uint8Array | string): string {
  const before = hub.repositories.get(`datasets/${name}`);
  const files = { ...before?.files, [key]: Buffer.from(content) };
  const commit = createHash('sha1').update(`${name} ${before?.commit} ${key}`).digest('hex');
  hub.repositories.set(`datasets/${name}`, { ...before, commit, files });
  return commit;
}

storageContract(
  'the hub',
  async () => {
    const name = `owner/data-${(repositories += 1)}`;
    commitFile(name, '.gitattributes', '');
    hub.repositories.set(`datasets/${name}`, { commit: createHash('sha1').update(name).digest('hex'), files: {} });
    return hubStorage(name, { environment });
  },
  {
    readOnly: 'the hub is written by git',
    writer: (storage) => ({
      async write(key, content): Promise<FileVersion | undefined> {
        await storage.stat(key); // Refuses invalid keys.
        const blocks: Uint8Array[] = [];
        const isWhole = typeof content === 'string' || content instanceof Uint8Array;
        for await (const block of isWhole ? [Buffer.from(content)] : content) blocks.push(block);
        const bytes = Buffer.concat(blocks);
        commitFile(storage.uri.slice('hf://datasets/'.length), key, bytes);
        return { bytes: bytes.length, version: '' };
      },
    }),
  },
);

describe('a data set', () => {
  const content = Buffer.from(Array.from({ length: 50_000 }, (_, at) => at % 251));

  it('can have large files on another server, which receives no token; interrupted responses are resumed', async () => {
    const name = 'owner/large';
    commitFile(name, 'data/train.parquet', content);
    hub.repositories.set(`datasets/${name}`, { ...hub.repositories.get(`datasets/${name}`)!, token: 'hf_secret' });
    const storage = hubStorage(name, { environment: { ...environment, HF_TOKEN: 'hf_secret' } });
    hub.cuts.set('data/train.parquet', [1000]);
    hub.statuses.set('storage:data/train.parquet', [403]); // The signed URL of the storage server has expired.
    const version = createHash('sha256').update(content).digest('hex');
    expect(await storage.stat('data/train.parquet')).toEqual({ bytes: 50_000, version });
    expect(content.equals(await storage.read('data/train.parquet', { version }))).toBe(true);
    const asked = (server: 'hub' | 'storage'): unknown[] =>
      hub.seen.filter((call) => call.server === server).map(({ range, authorization }) => [range, authorization]);
    expect(asked('storage')).toEqual([
      [undefined, undefined],
      [undefined, undefined],
      ['bytes=1000-', undefined],
    ]);
    expect(new Set(asked('hub').map((call) => (call as unknown[])[1]))).toEqual(new Set(['Bearer hf_secret']));
  });

  it('is read at one commit after its URI is pinned', async () => {
    const name = 'owner/moving';
    const first = commitFile(name, 'a.jsonl', 'first');
    const addresses = [`hf://datasets/${name}/*.jsonl`, '/a/path', 's3://b/k', `hf://datasets/${name}@main/a.jsonl`];
    process.env['HF_ENDPOINT'] = hub.endpoint;
    try {
      const pinned = await pinAddresses(addresses);
      const root = `hf://datasets/${name}@${first}`;
      expect(pinned).toEqual([`${root}/*.jsonl`, '/a/path', 's3://b/k', `${root}/a.jsonl`]);
      expect(hub.seen.filter(({ path }) => path.includes('/revision/'))).toHaveLength(1);
      const { storage, key } = locateFile(pinned[3]!);
      expect(Buffer.from(await storage.read(key)).toString()).toBe('first');
      expect(await pinAddresses(pinned)).toEqual(pinned);
    } finally {
      delete process.env['HF_ENDPOINT'];
    }
  });

  it('is read at a commit from mirrors with different ETags', async () => {
    const commit = commitFile('owner/mirrored', 'a.jsonl', 'content');
    hub.foreignEtags = true;
    const storage = hubStorage('owner/mirrored', { environment, revision: commit });
    for await (const { version } of storage.list(''))
      expect(Buffer.from(await storage.read('a.jsonl', { version })).toString()).toBe('content');
  });

  it('waits as long as the Hub requests', async () => {
    commitFile('owner/busy', 'a.jsonl', 'content');
    hub.statuses.set('a.jsonl', [429]);
    hub.refusalHeaders = { ratelimit: '"resolvers";r=0;t=1' };
    const startedAt = performance.now();
    await hubStorage('owner/busy', { environment }).stat('a.jsonl');
    expect(performance.now() - startedAt).toBeGreaterThan(990);
  });

  it('reports errors without the token', async () => {
    commitFile('owner/gated', 'a.jsonl', 'content');
    hub.repositories.set('datasets/owner/gated', {
      ...hub.repositories.get('datasets/owner/gated')!,
      token: 'hf_right',
    });
    const read = async (name: string, options: object, variables: object = {}): Promise<unknown> =>
      hubStorage(name, { environment: { ...environment, ...variables }, ...options }).read('a.jsonl');
    await expect(read('owner/none', {})).rejects.toThrow(/^There is no data set owner\/none on http/u);
    await expect(read('owner/large', { revision: 'x' }, { HF_TOKEN: 'hf_secret' })).rejects.toThrow(
      /has no revision x/u,
    );
    await expect(read('owner/gated', {})).rejects.toThrow(/denies access to the data set owner\/gated .*set HF_TOKEN/u);
    const denied: unknown = await read('owner/gated', {}, { HF_TOKEN: 'hf_wrong' }).catch((error: unknown) => error);
    expect(String(denied)).toMatch(/Accept its terms on .*\/datasets\/owner\/gated/u);
    expect(JSON.stringify([denied, String((denied as Error).stack)])).not.toContain('hf_wrong');
    await expect(read('owner/large', {}, { HF_HUB_OFFLINE: '1' })).rejects.toThrow(/HF_HUB_OFFLINE is set/u);
    await expect(read('owner/large', {}, { HF_ENDPOINT: 'hub' })).rejects.toThrow(/not an address of a hub/u);
  });

  it('reads its token from the file of `hf auth login`', async () => {
    await writeFile(join(home, 'token'), 'hf_right\n');
    expect(await hubStorage('owner/gated', { environment }).stat('a.jsonl')).toMatchObject({ bytes: 7 });
  });
});

it('URIs contain owner, name, revision and file', () => {
  const found = (uri: string): string[] => {
    const { storage, key } = locateFile(uri);
    return [storage.uri, key];
  };
  expect(found('hf://datasets/o/n/a b/*.jsonl')).toEqual(['hf://datasets/o/n', 'a b/*.jsonl']);
  expect(found('hf://datasets/o/n@v1.0/x@y')).toEqual(['hf://datasets/o/n@v1.0', 'x@y']);
  expect(found('hf://datasets/o/n@a%2Fb/x')).toEqual(['hf://datasets/o/n@a%2Fb', 'x']);
  expect(found('hf://datasets/o/n@refs/convert/parquet/d/0.parquet')).toEqual([
    'hf://datasets/o/n@refs/convert/parquet',
    'd/0.parquet',
  ]);
  expect(openStorage('hf://datasets/o/n/data/').uri).toBe('hf://datasets/o/n/data');
  expect(withoutRevision('hf://datasets/o/n@v1/data')).toBe('hf://datasets/o/n/data');
  for (const uri of [
    'hf://datasets/o',
    'hf://models/o/n/x',
    'hf://o/n/x',
    'hf://datasets/o/../x',
    'hf://datasets/o/n@/x',
  ])
    expect(() => locateFile(uri)).toThrow(/it is not of the form hf:\/\/datasets\/OWNER\/NAME/u);
});
