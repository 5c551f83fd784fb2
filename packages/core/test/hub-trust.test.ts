import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { hubUrlModel } from '@sentvec/core';
import { hubModel, openModel } from '@sentvec/core/node';
import { afterEach, describe, expect, it } from 'vitest';
import {
  commit,
  expectContent,
  expectFile,
  requestedFiles,
  name,
  repositoryFolder,
  useHubFixture,
} from './hub-fixture.ts';

const world = useHubFixture();
const small = 'tokenizer.json';
const text = (content: string): Uint8Array => new TextEncoder().encode(content);

const servers: { close(): unknown; closeAllConnections?(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections?.();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('the content of a small file', () => {
  it.each([true, false])(
    'is compared with the git id in the listing, whatever the ETag is (ETag of a mirror: %s)',
    async (foreign) => {
      world.hub.foreignEtags = foreign;
      world.hub.damages.set(small, 1);
      await expect(hubModel(name)).rejects.toMatchObject({ code: 'download-failed', details: { file: small } });
      await expectContent(world, await hubModel(name));
    },
  );

  it('is verified in a browser, too', async () => {
    const model = await hubUrlModel(name, { endpoint: world.hub.endpoint, revision: commit });
    world.hub.damages.set(small, 1);
    await expect(model.read(small)).rejects.toMatchObject({ code: 'download-failed', details: { file: small } });
    await expectFile(world, model, small);
  });

  it('is not mixed up with that of a similar path, even when the hub gives no hash', async () => {
    world.hub.withoutIds = true;
    const files = { 'a/b.json': text('1'), 'a-b.json': text('2'), 'a%2Fb.json': text('3') };
    world.hub.repositories.set(name, { commit, files: { ...world.content, ...files } });
    const model = await hubModel(name);
    for (const [path, content] of Object.entries(files))
      expect([path, Buffer.from(await model.read(path)).toString()]).toEqual([path, Buffer.from(content).toString()]);
  });
});

describe('files that are downloaded only on demand', () => {
  it('are the model card, and files next to an ONNX file, with any name', async () => {
    const files = {
      'README.md': text('---\nbase_model: org/base\n---\n'),
      'onnx/model.onnx': text('graph'),
      'onnx/Constant_7_attr__value': text('numbers'),
      'onnx/encoder.layer.0.weight': text('more numbers'),
      'onnx/config.json': text('{}'),
      'onnx/README.md': text('x'),
      Constant_7_attr__value: text('not beside an ONNX file'),
    };
    world.hub.repositories.set(name, { commit, files: { ...world.content, ...files } });
    const model = await hubModel(name);
    const listed = ['README.md', 'onnx/Constant_7_attr__value', 'onnx/encoder.layer.0.weight', 'onnx/model.onnx'];
    expect((await model.list()).filter((path) => path in files)).toEqual(listed);
    for (const path of listed) expect(requestedFiles(world)).not.toContain(path);
    expect(Buffer.from(await model.read('onnx/Constant_7_attr__value')).toString()).toBe('numbers');
  });

  it('do not include the tokenizer and the licence next to an ONNX file in the top folder', async () => {
    const files = {
      'model.onnx': text('graph'),
      'weights.bin': text('numbers'),
      LICENSE: text('x'),
      'NOTICE.txt': text('x'),
      'spiece.model': text('x'),
      'sentencepiece.bpe.model': text('x'),
      'bpe.codes': text('x'),
    };
    world.hub.repositories.set(name, { commit, files: { ...world.content, ...files } });
    expect((await (await hubModel(name)).list()).filter((path) => path in files)).toEqual([
      'model.onnx',
      'weights.bin',
    ]);
  });

  it('can be read from a related model of the hub', async () => {
    world.hub.repositories.set('sentvec/base', { commit: 'f'.repeat(40), files: { 'config.json': text('{"a":1}') } });
    const base = await (await hubModel(name)).related!('sentvec/base');
    expect(Buffer.from(await base.read('config.json')).toString()).toBe('{"a":1}');
  });
});

describe('a model that was loaded online', () => {
  it('is loaded offline, even if another program has added an incomplete newer commit to the cache', async () => {
    await expectContent(world, await hubModel(name));
    await world.hub.stop();
    // A newer commit of which another program downloaded the weights, but not modules.json.
    const newer = 'fedcba9876543210fedcba9876543210fedcba98';
    const snapshot = join(repositoryFolder(world), 'snapshots', newer);
    await mkdir(snapshot, { recursive: true });
    await writeFile(join(repositoryFolder(world), 'refs', 'main'), newer);
    for (const path of ['config.json', 'model.safetensors'])
      await writeFile(join(snapshot, path), world.content[path]!);
    for (const options of [{ offline: true }, {}]) {
      const model = await hubModel(name, options);
      expect(model.revision).toBe(commit);
      await expectContent(world, model);
    }
  });
});

describe('an endless response', () => {
  it('is aborted when it is a JSON body', async () => {
    const endpoint = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const more = (): void => {
        while (response.write(`[${' '.repeat(2 ** 20)}`));
        response.once('drain', more);
      };
      more();
    });
    const refusal = { code: 'download-failed', message: expect.stringContaining('has more than 16777216 bytes') };
    await expect(hubModel(name, { endpoint, retries: 0 })).rejects.toMatchObject(refusal);
    await expect(hubUrlModel(name, { endpoint, retries: 0 })).rejects.toMatchObject(refusal);
  });

  it('is aborted when it consists of further pages', async () => {
    const endpoint: string = await serve((request, response) => {
      response.setHeader('link', `<${endpoint}${request.url}>; rel="next"`);
      response.end(JSON.stringify([{ type: 'file', path: 'config.json', size: 2 }]));
    });
    const refusal = { code: 'download-failed', message: expect.stringContaining('more than 100 pages') };
    await expect(hubModel(name, { endpoint, revision: commit })).rejects.toMatchObject(refusal);
    await expect((await hubUrlModel(name, { endpoint, revision: commit })).list()).rejects.toMatchObject(refusal);
  });
});

describe('a proxy of the environment', () => {
  const variables = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'];
  const before = new Map(variables.map((variable) => [variable, process.env[variable]]));
  afterEach(() => {
    for (const [variable, value] of before) {
      if (value === undefined) delete process.env[variable];
      else process.env[variable] = value;
    }
  });

  it('is used for the hub and its storage server, but not for the hosts in NO_PROXY', async () => {
    const tunnels: string[] = [];
    const proxy = createServer();
    servers.push(proxy);
    const port = (): number => Number(new URL(world.hub.endpoint).port);
    proxy.on('connect', (request, socket) => {
      tunnels.push(request.url!);
      const [host, asked] = request.url!.split(':');
      const target = connect(host === 'hub.test' ? port() : Number(asked), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        target.pipe(socket).pipe(target);
      });
      target.on('error', () => socket.destroy());
      socket.on('error', () => target.destroy());
    });
    await new Promise<void>((resolve) => void proxy.listen(0, '127.0.0.1', resolve));
    for (const variable of variables) delete process.env[variable];
    process.env['HTTP_PROXY'] = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    process.env['NO_PROXY'] = '127.0.0.1';
    const model = await hubModel(name, { endpoint: 'http://hub.test' });
    await expectContent(world, model);
    expect(tunnels).toContain('hub.test:80');
    expect(tunnels.some((tunnel) => tunnel.startsWith('localhost:'))).toBe(true);
    tunnels.length = 0;
    await hubModel(name, { endpoint: world.hub.endpoint, cacheDir: join(world.home, 'other') });
    expect(tunnels).toEqual([]);
  });
});

describe('a name without an organization', () => {
  it('is looked for among the models of sentence-transformers, then without an organization', async () => {
    world.hub.repositories.set('sentence-transformers/tiny', world.hub.repositories.get(name)!);
    world.hub.repositories.set('bert', world.hub.repositories.get(name)!);
    expect((await openModel('tiny')).name).toBe('sentence-transformers/tiny');
    expect((await openModel('bert')).name).toBe('bert');
    world.hub.repositories.set('tiny', world.hub.repositories.get(name)!);
    world.hub.statuses.set('revision', [400]);
    await expect(openModel('tiny', { cacheDir: join(world.home, 'other') })).rejects.toMatchObject({
      code: 'download-failed',
    });
    await expect(openModel('neither')).rejects.toMatchObject({
      code: 'model-not-found',
      message: expect.stringContaining('There is no model sentence-transformers/neither either.'),
    });
  });

  it('is the default model when it is use-lite', async () => {
    const before = process.env['SENTVEC_CACHE'];
    process.env['SENTVEC_CACHE'] = join(world.home, 'sentvec');
    try {
      const model = await openModel('use-lite');
      expect(model.name).toBe('use-lite');
      expect(JSON.parse(await readFile(join(model.directory!, 'modules.json'), 'utf8'))).toHaveLength(4);
    } finally {
      if (before === undefined) delete process.env['SENTVEC_CACHE'];
      else process.env['SENTVEC_CACHE'] = before;
    }
    expect(world.hub.seen).toEqual([]);
  });
});

it('the base model of a local folder is looked for only on the local disk', async () => {
  const folder = join(world.home, 'folder');
  await mkdir(folder);
  const model = await openModel(folder);
  await expect(model.related!(name)).rejects.toMatchObject({ code: 'model-not-found' });
  expect(world.hub.seen).toEqual([]);
  await expectContent(world, await hubModel(name));
  world.hub.seen.length = 0;
  expect((await model.related!(name)).revision).toBe(commit);
  expect(world.hub.seen).toEqual([]);
});
