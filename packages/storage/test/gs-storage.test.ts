// Google Cloud Storage: the storage contract, signatures, tokens, and interrupted uploads.
import { generateKeyPairSync, verify } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gsStorage, type Storage } from '@sentvec/storage';
import { startGs, storageContract, type GsServer, type ObjectFault } from '@sentvec/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { signGoog4 } from '../src/gs/gs-client.ts';
import { failure, scriptFaults } from './scripted-faults.ts';

const partBytes = 256 << 10;
let server: GsServer;
const { calls, fail } = scriptFaults(() => server);
let folder: string;
let stores = 0;

beforeAll(async () => {
  server = await startGs();
  folder = await mkdtemp(join(tmpdir(), 'sentvec-gs-'));
});
beforeEach(() => fail());
afterAll(() => Promise.all([server.close(), rm(folder, { recursive: true })]));

function open(environment: Readonly<Record<string, string>> = server.environment): Storage {
  return gsStorage('bucket', `test/${(stores += 1)}`, { environment, partBytes });
}

storageContract('Google Cloud Storage', async () => open(), { streamBytes: 3 * partBytes + 1000 });

it.each([
  [
    'PUT',
    'https://storage.googleapis.com/test-bucket/dir/obj.txt',
    { 'x-goog-if-generation-match': '0', 'content-type': 'binary/octet-stream' },
    'host;x-goog-content-sha256;x-goog-date;x-goog-if-generation-match',
    '4f82e49c69753329afd4768ccf1db6b472dbbd86d082a08b5b9f9fe368fb6ef6',
  ],
  [
    'GET',
    'https://storage.googleapis.com/test-bucket/?versioning',
    {},
    'host;x-goog-content-sha256;x-goog-date',
    '28a981c32acff334738b9ea1a0f82c28c9a1ccff5b6dc8fb92a2e6622c8db73f',
  ],
])('signs %s %s like other clients', (method, url, given, names, signature) => {
  // Recorded by ClickHouse in the test of its signer (GOOG4Signer), which it uses against the service.
  const headers: Record<string, string> = { ...given, 'x-goog-content-sha256': 'UNSIGNED-PAYLOAD' };
  const date = new Date('2026-07-03T00:00:00Z');
  const key = { id: 'GOOGTESTACCESSKEY', secret: 'testsecretkey' };
  const signed = signGoog4({ method, url: new URL(url), headers, date }, key);
  expect(signed['authorization']).toBe(
    `GOOG4-HMAC-SHA256 Credential=GOOGTESTACCESSKEY/20260703/auto/storage/goog4_request, SignedHeaders=${names}, Signature=${signature}`,
  );
});

describe('a store that fails', () => {
  const busy: ObjectFault = { instead: { status: 429, headers: { 'retry-after': '0' } } };

  it('gets retries, and a write whose response was lost is verified', async () => {
    const storage = open();
    fail(busy, 'lose-request', 'lose-answer');
    const written = await storage.write('file', 'content', { replaces: null });
    expect(written).toEqual(await storage.stat('file'));
    expect(calls.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT', 'PUT', 'HEAD', 'HEAD']);
  });

  it.each([
    ['a block before it came', [undefined, 'lose-request']],
    ['the answer to a block', [undefined, undefined, 'lose-answer']],
    ['the answer to the last block', [undefined, undefined, undefined, undefined, 'lose-answer']],
    ['a question for what it has', [undefined, 'lose-answer', 'lose-answer', busy]],
  ] as const)('loses %s of a stream', async (_, faults) => {
    const storage = open();
    const bytes = Buffer.from(Array.from({ length: 3 * partBytes + 7 }, (__, at) => at % 251));
    fail(...(faults as readonly (ObjectFault | undefined)[]));
    const written = await storage.write('file', blocksOf(bytes), { replaces: null });
    expect(written).toEqual(await storage.stat('file'));
    expect(bytes.equals(await storage.read('file'))).toBe(true);
    expect(server.uploads()).toEqual([]);
  });

  it('uploads a stream that ends with a full part, and cancels unfinished uploads', async () => {
    const storage = open();
    const bytes = Buffer.alloc(2 * partBytes, 7);
    expect(await storage.write('whole', blocksOf(bytes))).toEqual(await storage.stat('whole'));
    fail(undefined, { instead: { status: 403 } });
    const error = await failure(storage.write('file', blocksOf(bytes)));
    expect(error.message).toMatch(/^Google Cloud Storage refused a part of gs:\/\/bucket\/test\/\d+\/file \(403\)/u);
    expect(server.uploads()).toEqual([]);
    fail(undefined, { instead: { status: 410 } });
    expect((await failure(storage.write('file', blocksOf(bytes)))).message).toMatch(
      /lost the parts that were sent\. Try/u,
    );
  });

  it('can have another object when an upload ends', async () => {
    const storage = open();
    const key = `${storage.uri.slice('gs://bucket/'.length)}/file`;
    async function* content(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(2 * partBytes);
      server.put(key, 'of another');
      yield Buffer.alloc(1);
    }
    expect(await storage.write('file', content(), { replaces: null })).toBeUndefined();
    expect(Buffer.from(await storage.read('file')).toString()).toBe('of another');
  });

  it('can deny access; the error message contains no secrets', async () => {
    const environment = { ...server.environment, GS_SECRET_ACCESS_KEY: 'a wrong secret' };
    const error = await failure(open(environment).read('file'));
    expect(error.message).toMatch(
      /^Google Cloud Storage denies access to gs:\/\/bucket\/.* \(403 SignatureDoesNotMatch/u,
    );
    expect(JSON.stringify([error, error.stack])).not.toMatch(/wrong secret|Signature=/u);
    const none = gsStorage('none', '', { environment: server.environment });
    expect(await failure(none.stat('file'))).toMatchObject({ message: 'There is no bucket none. Check its name.' });
  });

  it('can have a different clock', async () => {
    const other = await startGs({ clock: 3_600_000 });
    try {
      await gsStorage('bucket', '', { environment: other.environment }).write('file', 'x');
      const again = gsStorage('bucket', '', { environment: { ...other.environment } });
      expect(await again.stat('file')).toMatchObject({ bytes: 1 });
    } finally {
      await other.close();
    }
  });
});

describe('credentials', () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  let service: Server;
  let host: string;
  let issued = 0;

  /** Responses of the token service and the metadata service. */
  async function answer(request: IncomingMessage): Promise<string | undefined> {
    let body = '';
    for await (const block of request) body += String(block);
    const fields = new URLSearchParams(body);
    const assertion = fields.get('assertion');
    const [header = '', claims = '', signature = ''] = assertion?.split('.') ?? [];
    const isSigned = verify(
      'RSA-SHA256',
      Buffer.from(`${header}.${claims}`),
      publicKey,
      Buffer.from(signature, 'base64url'),
    );
    const { iss, aud, scope } = JSON.parse(Buffer.from(claims || 'e30', 'base64url').toString()) as Record<
      string,
      string
    >;
    const isAccount =
      isSigned && iss === 'me@project' && aud === `http://${host}/token` && scope!.includes('devstorage');
    const isPerson = fields.get('refresh_token') === 'refresh me' && fields.get('client_secret') === 'client secret';
    const isMachine =
      request.url?.endsWith('/instance/service-accounts/default/token') &&
      request.headers['metadata-flavor'] === 'Google';
    if (!isAccount && !isPerson && !isMachine) return undefined;
    issued += 1;
    server.setTokens([`token ${issued}`]);
    return JSON.stringify({ access_token: `token ${issued}`, expires_in: 3600, token_type: 'Bearer' });
  }

  beforeAll(async () => {
    service = createServer((request, response) => {
      void answer(request).then((text) =>
        response.writeHead(text === undefined ? 400 : 200).end(text ?? '{"error":"invalid_grant"}'),
      );
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    host = `127.0.0.1:${(service.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    service.closeAllConnections();
    service.close();
  });

  async function environmentWith(file: object | string): Promise<Record<string, string>> {
    const path = join(folder, 'key.json');
    await writeFile(path, typeof file === 'string' ? file : JSON.stringify(file));
    return { STORAGE_EMULATOR_HOST: server.endpoint, GOOGLE_APPLICATION_CREDENTIALS: path };
  }
  const account = { type: 'service_account', client_email: 'me@project', private_key: privateKey };
  const person = {
    type: 'authorized_user',
    client_id: 'client',
    client_secret: 'client secret',
    refresh_token: 'refresh me',
  };

  it('can be those of a service account, a user or the machine; refused tokens are fetched again', async () => {
    const uri = { token_uri: `http://${host}/token` };
    const home = join(folder, 'home');
    const environments = [
      await environmentWith({ ...account, ...uri }),
      { GCE_METADATA_HOST: host, HOME: home, CLOUDSDK_CONFIG: home, STORAGE_EMULATOR_HOST: '' },
    ];
    const storage = open(environments[0]);
    await storage.write('file', 'content');
    server.setTokens([]);
    expect(Buffer.from(await storage.read('file')).toString()).toBe('content');
    expect(issued).toBe(2);
    await open(await environmentWith({ ...person, ...uri })).write('file', 'content');
    const { findGoogleCredentials } = await import('../src/gs/credentials.ts');
    expect(await findGoogleCredentials(environments[1]!)).toMatchObject({ token: 'token 4' });
  });

  it.each([
    ['no JSON', 'private', /key\.json: it is not JSON/u],
    ['no key', { ...account, private_key: 'private' }, /key\.json: its private_key cannot be read/u],
    ['another type', { type: 'external_account' }, /its type is "external_account"; sentvec supports/u],
    ['no secret', { ...person, client_secret: undefined }, /key\.json: it has no client_secret/u],
    ['a refused key', { ...person, refresh_token: 'private' }, /answered 400 invalid_grant/u],
  ])('in a file with %s are refused, and the error message does not contain its content', async (_, file, expected) => {
    const content = typeof file === 'string' ? file : { ...file, token_uri: `http://${host}/token` };
    const error = await failure(open(await environmentWith(content)).stat('file'));
    expect(error.message).toMatch(expected);
    expect(JSON.stringify([error, error.stack]).replaceAll('private_key', '')).not.toMatch(/private\b|client secret/u);
  });
});

async function* blocksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += 100_000) yield bytes.subarray(from, from + 100_000);
}
