// Sources of S3 credentials. A test server simulates the credential services.
import { createServer, type IncomingMessage } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { s3Storage } from '@sentvec/storage';
import { startS3, type S3Server } from '@sentvec/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';

let folder = '';
let s3: S3Server;
let metadata: { readonly url: string; readonly close: () => void };
const asked: string[] = [];

const temporary = { AccessKeyId: 'temporary', SecretAccessKey: 'short', Expiration: new Date(Date.now() + 3_600_000) };

async function answer(request: IncomingMessage): Promise<string | undefined> {
  const { url = '', headers, method } = request;
  let body = '';
  for await (const block of request) body += String(block);
  asked.push(`${method} ${url}`);
  if (url === '/latest/api/token' && method === 'PUT') return 'session';
  if (headers['x-aws-ec2-metadata-token'] === 'session') {
    if (url.endsWith('/security-credentials/')) return 'my-role';
    if (url.endsWith('/security-credentials/my-role')) return JSON.stringify({ ...temporary, Token: 'session token' });
  }
  if (url === '/pod' && headers.authorization === 'pod secret')
    return JSON.stringify({ ...temporary, Token: 'session token' });
  if (new URLSearchParams(body).get('WebIdentityToken') !== 'cluster token') return undefined;
  const parts = { ...temporary, SessionToken: 'session token', Expiration: temporary.Expiration.toISOString() };
  const text = Object.entries(parts).map(([name, value]) => `<${name}>${value}</${name}>`);
  return `<AssumeRoleWithWebIdentityResponse><Credentials>${text.join('')}</Credentials></AssumeRoleWithWebIdentityResponse>`;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-credentials-'));
  s3 = await startS3({ keys: { temporary: 'short', long: 'lasting' } });
  const server = createServer((request, response) => {
    void answer(request).then((text) => response.writeHead(text === undefined ? 404 : 200).end(text));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  metadata = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
  await writeFile(join(folder, 'token'), 'cluster token\n');
  await writeFile(join(folder, 'pod-token'), 'pod secret');
  await writeFile(
    join(folder, 'config'),
    `# A comment\n[default]\nregion = eu-central-1\n[profile team]\nregion=eu-west-1\nendpoint_url = ${s3.endpoint}\n` +
      `[profile program]\ncredential_process = echo '{"Version":1,"AccessKeyId":"temporary","SecretAccessKey":"short"}'\n` +
      '[profile sso]\nsso_session = work\n[profile broken]\ncredential_process = exit 3\n',
  );
  await writeFile(join(folder, 'credentials'), '[team]\naws_access_key_id = long\naws_secret_access_key = lasting\n');
});

afterAll(async () => {
  metadata.close();
  await s3.close();
  await rm(folder, { recursive: true });
});

async function writeWith(environment: Readonly<Record<string, string>>): Promise<string> {
  const files = { AWS_CONFIG_FILE: join(folder, 'config'), AWS_SHARED_CREDENTIALS_FILE: join(folder, 'credentials') };
  const base = { AWS_ENDPOINT_URL_S3: s3.endpoint, AWS_EC2_METADATA_DISABLED: 'true', ...files };
  let signed = '';
  s3.setFault((call) => {
    signed = `${call.headers['authorization']} ${call.headers['x-amz-security-token'] ?? ''}`;
    return undefined;
  });
  await s3Storage('bucket', '', { environment: { ...base, ...environment } }).write('file', 'x');
  return signed;
}

it.each([
  [
    'the environment',
    () => ({ AWS_ACCESS_KEY_ID: 'long', AWS_SECRET_ACCESS_KEY: 'lasting' }),
    /Credential=long.*eu-central-1/u,
  ],
  ['a profile', () => ({ AWS_PROFILE: 'team', AWS_ENDPOINT_URL_S3: '' }), /Credential=long.*eu-west-1/u],
  ['a program', () => ({ AWS_PROFILE: 'program' }), /Credential=temporary/u],
  [
    'a web identity',
    () => ({
      AWS_WEB_IDENTITY_TOKEN_FILE: join(folder, 'token'),
      AWS_ROLE_ARN: 'arn:aws:iam::1:role/x',
      AWS_ENDPOINT_URL_STS: metadata.url,
    }),
    /Credential=temporary.* session token$/u,
  ],
  [
    'a container',
    () => ({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${metadata.url}/pod`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: join(folder, 'pod-token'),
    }),
    /Credential=temporary.* session token$/u,
  ],
  [
    'the machine',
    () => ({ AWS_EC2_METADATA_DISABLED: 'false', AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url }),
    /Credential=temporary.* session token$/u,
  ],
] as const)('credentials come from %s', async (_, environment, expected) => {
  expect(await writeWith(environment() as Readonly<Record<string, string>>)).toMatch(expected);
});

it('credentials are fetched once, and refreshed before they expire', async () => {
  const environment = {
    AWS_ENDPOINT_URL: s3.endpoint,
    AWS_CONFIG_FILE: 'none',
    AWS_SHARED_CREDENTIALS_FILE: 'none',
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${metadata.url}/pod`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: 'pod secret',
  };
  const storage = s3Storage('bucket', 'once', { environment });
  const count = (): number => asked.filter((each) => each === 'GET /pod').length;
  const before = count();
  await Promise.all([
    storage.write('a', 'x'),
    storage.write('b', 'x'),
    s3Storage('bucket', 'two', { environment }).stat('a'),
  ]);
  expect(count()).toBe(before + 1);
  const { Expiration } = temporary;
  temporary.Expiration = new Date(Date.now() + 60_000);
  try {
    const short = s3Storage('bucket', 'short', { environment: { ...environment } });
    await short.write('a', 'x');
    await short.write('b', 'x');
    expect(count()).toBeGreaterThanOrEqual(before + 3);
  } finally {
    temporary.Expiration = Expiration;
  }
});

it.each([
  ['none at all', {}, /There are no credentials for S3\. Set AWS_ACCESS_KEY_ID/u],
  ['a profile that is not there', { AWS_PROFILE: 'nobody' }, /profile nobody: it is neither in/u],
  ['a profile with a login', { AWS_PROFILE: 'sso' }, /it has sso_session, .* export-credentials/u],
  ['a program that fails', { AWS_PROFILE: 'broken' }, /credential_process of the profile: it failed \(3\)/u],
  ['a token that is not there', { AWS_WEB_IDENTITY_TOKEN_FILE: '/none', AWS_ROLE_ARN: 'x' }, /the file \/none/u],
] as const)('says what is missing: %s', async (_, environment, expected) => {
  await expect(writeWith(environment as Readonly<Record<string, string>>)).rejects.toThrow(expected);
});
