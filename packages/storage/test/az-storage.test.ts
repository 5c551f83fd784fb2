// Azure Blob Storage: the storage contract, signatures, tokens, and lost blocks.
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { azStorage, type Storage } from '@sentvec/storage';
import { startAz, storageContract, type AzServer, type ObjectFault } from '@sentvec/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { textToSign } from '../src/az/az-client.ts';
import { failure, scriptFaults } from './scripted-faults.ts';

const partBytes = 64 << 10;
const sas = 'sv=2021-12-02&sig=signature%3D';
let server: AzServer;
const { calls, fail } = scriptFaults(() => server);
let folder: string;
let stores = 0;

beforeAll(async () => {
  server = await startAz({ sas });
  folder = await mkdtemp(join(tmpdir(), 'sentvec-az-'));
});
beforeEach(() => fail());
afterAll(() => Promise.all([server.close(), rm(folder, { recursive: true })]));

function open(environment: Readonly<Record<string, string>> = server.environment): Storage {
  return azStorage('bucket', `test/${(stores += 1)}`, { environment, partBytes });
}

storageContract('Azure Blob Storage', async () => open(), { streamBytes: 3 * partBytes + 1000 });

it('signs the example string of the documentation', () => {
  const headers = { 'x-ms-version': '2015-02-21', 'x-ms-date': 'Fri, 26 Jun 2015 23:39:12 GMT' };
  const url = new URL('https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20');
  expect(textToSign({ method: 'GET', url, headers, body: new Uint8Array() }, 'myaccount')).toBe(
    'GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20',
  );
});

describe('a store that fails', () => {
  const busy: ObjectFault = {
    instead: { status: 503, headers: { 'retry-after': '0', 'x-ms-error-code': 'ServerBusy' } },
  };

  it('gets retries, and a write whose response was lost is verified', async () => {
    const storage = open();
    fail(busy, 'lose-request', 'lose-answer');
    const written = await storage.write('file', 'content', { replaces: null });
    expect(written).toEqual(await storage.stat('file'));
    expect(calls.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT', 'PUT', 'HEAD', 'HEAD']);
    // The requests upload blocks, then commit them.
    fail(busy, 'lose-answer', undefined, undefined, undefined, 'lose-answer');
    const bytes = Buffer.alloc(3 * partBytes + 1, 7);
    const next = await storage.write('file', blocksOf(bytes), { replaces: written!.version });
    expect(next).toEqual(await storage.stat('file'));
    expect(bytes.equals(await storage.read('file'))).toBe(true);
  });

  it('lists several pages', async () => {
    const storage = open();
    const prefix = storage.uri.slice('az://bucket/'.length);
    for (let index = 0; index < 2500; index += 1) server.put(`${prefix}/many/${index}`, 'x');
    const keys: string[] = [];
    for await (const { key } of storage.list('many/')) keys.push(key);
    expect(keys).toHaveLength(2500);
    expect(calls).toHaveLength(3);
  });

  it('can have another blob when an upload ends', async () => {
    const storage = open();
    const key = `${storage.uri.slice('az://bucket/'.length)}/file`;
    async function* content(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(2 * partBytes);
      server.put(key, 'of another');
      yield Buffer.alloc(1);
    }
    expect(await storage.write('file', content(), { replaces: null })).toBeUndefined();
    const error = await failure(storage.write('file', content()));
    expect(error.message).toMatch(/another program has written it at the same time\. Try again\.$/u);
    expect(Buffer.from(await storage.read('file')).toString()).toBe('of another');
  });

  it('can have uncommitted blocks of a killed writer, which are found and deleted', async () => {
    const storage = open();
    async function* killed(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(2 * partBytes + 1);
      throw new Error('killed');
    }
    await expect(storage.write('run/file', killed())).rejects.toThrow('killed');
    await storage.write('run/empty', '');
    const uploads = (): readonly string[] =>
      server.uploads().filter((key) => `az://bucket/${key}`.startsWith(`${storage.uri}/`));
    expect(uploads()).toHaveLength(1);
    await storage.removeUnfinished('other/');
    expect(uploads()).toHaveLength(1);
    await storage.removeUnfinished('run/');
    expect(uploads()).toEqual([]);
    const keys: string[] = [];
    for await (const { key } of storage.list('')) keys.push(key);
    expect(keys).toEqual(['run/empty']);
  });

  it('can refuse a write for other reasons than its condition', async () => {
    fail({ instead: { status: 412, headers: { 'x-ms-error-code': 'LeaseIdMissing' } } });
    const error = await failure(open().write('file', 'x', { replaces: null }));
    expect(error.message).toMatch(
      /^Azure Blob Storage refused a request for az:\/\/bucket\/.* \(412 LeaseIdMissing\)/u,
    );
  });

  it('can deny access; the error message contains no secrets', async () => {
    const environment = { ...server.environment, AZURE_STORAGE_KEY: Buffer.from('wrong').toString('base64') };
    const error = await failure(open(environment).read('file'));
    expect(error.message).toMatch(/^Azure Blob Storage denies access to az:\/\/bucket\/.* \(403 AuthenticationFailed/u);
    expect(JSON.stringify([error, error.stack])).not.toContain(environment.AZURE_STORAGE_KEY);
    const none = azStorage('none', '', { environment: server.environment });
    expect(await failure(none.stat('file'))).toMatchObject({
      message: 'There is no container none. Check its name and the account.',
    });
  });

  it('can have a different clock', async () => {
    const other = await startAz({ clock: 3_600_000 });
    try {
      const storage = azStorage('bucket', '', { environment: other.environment });
      expect(await storage.write('file', 'x')).toMatchObject({ bytes: 1 });
    } finally {
      await other.close();
    }
  });
});

describe('credentials', () => {
  let service: Server;
  let address: string;
  let issued = 0;

  /** Responses of the login, App Service and metadata services. */
  async function answer(request: IncomingMessage): Promise<string | undefined> {
    let body = '';
    for await (const block of request) body += String(block);
    const fields = new URLSearchParams(body);
    const { pathname, searchParams } = new URL(request.url!, address);
    const isLogin = pathname === '/tenant/oauth2/v2.0/token' && fields.get('client_id') === 'client';
    const proof = fields.get('client_secret') ?? fields.get('client_assertion');
    const isMachine = request.headers['metadata'] === 'true' || request.headers['x-identity-header'] === 'identity';
    const isIdentity = isMachine && searchParams.get('resource') === 'https://storage.azure.com/';
    if (!isIdentity && !(isLogin && (proof === 'client secret' || proof === 'cluster token'))) return undefined;
    issued += 1;
    server.setTokens([`token ${issued}`]);
    return JSON.stringify({ access_token: `token ${issued}`, expires_in: isLogin ? 3600 : '3600' });
  }

  beforeAll(async () => {
    service = createServer((request, response) => {
      void answer(request).then((text) => response.writeHead(text === undefined ? 401 : 200).end(text));
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    address = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    service.closeAllConnections();
    service.close();
  });

  it('can be a shared access signature, a connection string or a token; refused tokens are fetched again', async () => {
    const file = join(folder, 'token');
    await writeFile(file, 'cluster token\n');
    const at = { AZURE_STORAGE_ENDPOINT: server.endpoint };
    const login = { ...at, AZURE_AUTHORITY_HOST: address, AZURE_TENANT_ID: 'tenant', AZURE_CLIENT_ID: 'client' };
    const string = `DefaultEndpointsProtocol=http;AccountName=account;AccountKey=c2VjcmV0;BlobEndpoint=${server.endpoint};`;
    const environments: Readonly<Record<string, string>>[] = [
      { ...at, AZURE_STORAGE_SAS_TOKEN: `?${sas}` },
      { AZURE_STORAGE_CONNECTION_STRING: string },
      { ...login, AZURE_CLIENT_SECRET: 'client secret' },
      { ...login, AZURE_FEDERATED_TOKEN_FILE: file },
      { ...at, IDENTITY_ENDPOINT: address, IDENTITY_HEADER: 'identity' },
      { ...at, AZURE_POD_IDENTITY_AUTHORITY_HOST: address },
    ];
    for (const environment of environments) {
      const storage = open(environment);
      await storage.write('file', 'content');
      server.setTokens([]);
      expect(Buffer.from(await storage.read('file')).toString()).toBe('content');
    }
    expect(issued).toBe(8);
  });

  it('that are missing or refused are named in the error, without their content', async () => {
    const none = await failure(open({}).stat('file'));
    expect(none.message).toMatch(/^az:\/\/ needs an account of Azure Blob Storage\. Set AZURE_STORAGE_ACCOUNT/u);
    const login = { AZURE_AUTHORITY_HOST: address, AZURE_TENANT_ID: 'tenant', AZURE_CLIENT_ID: 'client' };
    const environment = { AZURE_STORAGE_ENDPOINT: server.endpoint, ...login, AZURE_CLIENT_SECRET: 'a wrong one' };
    const error = await failure(open(environment).stat('file'));
    expect(error.message).toMatch(/from the service principal: 127\.0\.0\.1:\d+ answered 401\.$/u);
    expect(JSON.stringify([error, error.stack])).not.toContain('a wrong one');
  });
});

async function* blocksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += 100_000) yield bytes.subarray(from, from + 100_000);
}
