// The S3 server of tests does what S3 does. Requests are signed by another library than the server's own check.
import { startS3, type S3Server } from '@sentvec/testing';
import { AwsClient } from 'aws4fetch';
import { afterAll, beforeAll, expect, it } from 'vitest';

let server: S3Server;
let client: AwsClient;

beforeAll(async () => {
  server = await startS3({ buckets: ['bucket', 'other'] });
  client = new AwsClient({ accessKeyId: 'test', secretAccessKey: 'secret', service: 's3', region: 'x', retries: 0 });
});
afterAll(() => server.close());

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

async function send(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: string,
): Promise<Answer> {
  const hash = { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' };
  const init = { method, headers: { ...hash, ...headers }, ...(body !== undefined && { body }) };
  const answer = await client.fetch(`${server.endpoint}/${path}`, init);
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
}

async function put(path: string, body: string, headers: Record<string, string> = {}): Promise<Answer> {
  return send('PUT', path, headers, body);
}

function codeOf({ text }: Answer): string | undefined {
  return /<Code>(.*?)<\/Code>/u.exec(text)?.[1];
}

it('keeps objects, their types and their metadata', async () => {
  const written = await put('bucket/kept', 'content', { 'content-type': 'text/plain', 'x-amz-meta-by': 'me' });
  const { status, text, headers } = await send('GET', 'bucket/kept');
  expect([status, text, headers.get('etag')]).toEqual([200, 'content', written.headers.get('etag')]);
  const head = await send('HEAD', 'bucket/kept');
  expect(['content-type', 'content-length', 'x-amz-meta-by'].map((name) => head.headers.get(name))).toEqual([
    'text/plain',
    '7',
    'me',
  ]);
  await send('PUT', 'other/copy', { 'x-amz-copy-source': '/bucket/kept' });
  expect((await send('GET', 'other/copy')).text).toBe('content');
  expect((await send('DELETE', 'bucket/kept')).status).toBe(204);
  expect((await send('DELETE', 'bucket/kept')).status).toBe(204);
  expect(codeOf(await send('GET', 'bucket/kept'))).toBe('NoSuchKey');
  expect(codeOf(await send('GET', 'nowhere/kept'))).toBe('NoSuchBucket');
});

it.each([
  ['bytes=2-4', 206, /^234$/u, 'bytes 2-4/10'],
  ['bytes=7-', 206, /^789$/u, 'bytes 7-9/10'],
  ['bytes=-3', 206, /^789$/u, 'bytes 7-9/10'],
  ['bytes=8-100', 206, /^89$/u, 'bytes 8-9/10'],
  ['bytes=10-12', 416, /InvalidRange/u, 'bytes */10'],
])('answers the range %s with %i', async (range, status, text, contentRange) => {
  await put('bucket/digits', '0123456789');
  const answer = await send('GET', 'bucket/digits', { range });
  expect([answer.status, answer.headers.get('content-range')]).toEqual([status, contentRange]);
  expect(answer.text).toMatch(text);
});

it('writes under a condition, and reads under one', async () => {
  const { headers } = await put('bucket/one', 'first', { 'if-none-match': '*' });
  const etag = headers.get('etag')!;
  expect(codeOf(await put('bucket/one', 'second', { 'if-none-match': '*' }))).toBe('PreconditionFailed');
  expect((await put('bucket/one', 'second', { 'if-match': '"stale"' })).status).toBe(412);
  expect((await put('bucket/none', 'second', { 'if-match': etag })).status).toBe(404);
  expect((await send('GET', 'bucket/one', { 'if-none-match': etag })).status).toBe(304);
  expect((await put('bucket/one', 'second', { 'if-match': etag })).status).toBe(200);
  expect((await send('GET', 'bucket/one', { 'if-match': etag })).status).toBe(412);
  expect((await send('GET', 'bucket/one')).text).toBe('second');
});

it('lets one of twenty writers win', async () => {
  const writers = Array.from({ length: 20 }, (_, index) => put('bucket/race', `${index}`, { 'if-none-match': '*' }));
  const answers = await Promise.all(writers);
  expect(answers.map(({ status }) => String(status)).toSorted()).toEqual([
    '200',
    ...Array.from({ length: 19 }, () => '412'),
  ]);
  const winner = answers.findIndex(({ status }) => status === 200);
  expect((await send('GET', 'bucket/race')).text).toBe(String(winner));
});

it('joins parts, unless one is too small, unknown, or an object is in the way', async () => {
  const begin = async (): Promise<string> =>
    /<UploadId>(.*?)</u.exec((await send('POST', 'bucket/parts?uploads')).text)![1]!;
  const upload = async (id: string, number: number, body: string): Promise<string> => {
    const { headers } = await put(`bucket/parts?partNumber=${number}&uploadId=${id}`, body);
    return `<Part><PartNumber>${number}</PartNumber><ETag>${headers.get('etag')}</ETag></Part>`;
  };
  const join = (id: string, parts: string, headers = {}): Promise<Answer> =>
    send('POST', `bucket/parts?uploadId=${id}`, headers, `<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`);
  const large = 'x'.repeat(5 << 20);
  const id = await begin();
  const [one, two] = [await upload(id, 1, large), await upload(id, 2, 'end')];
  expect(codeOf(await join(id, one + two.replace('ETag>"', 'ETag>"0')))).toBe('InvalidPart');
  expect((await send('HEAD', 'bucket/parts')).status).toBe(404);
  expect((await join(id, one + two)).text).toMatch(/<ETag>&quot;[0-9a-f]{32}-2&quot;</u);
  expect((await send('GET', 'bucket/parts', { range: 'bytes=5242878-5242881' })).text).toBe('xxen');
  expect(codeOf(await join(id, one + two))).toBe('NoSuchUpload');
  const again = await begin();
  const parts = (await upload(again, 1, 'small')) + (await upload(again, 2, 'end'));
  expect((await join(again, parts, { 'if-none-match': '*' })).status).toBe(412);
  expect(codeOf(await join(again, parts))).toBe('EntityTooSmall');
  expect((await send('GET', 'bucket/?uploads&prefix=par')).text).toContain(again);
  expect((await send('DELETE', `bucket/parts?uploadId=${again}`)).status).toBe(204);
  expect(server.uploads()).toEqual([]);
});

it('lists by prefix, in pages, with folders, and odd keys', async () => {
  const odd = 'l/ä b+c=%&.bin';
  for (const key of ['l/1', 'l/2', 'l/sub/1', 'l/sub/2', 'm']) server.put(key, key);
  server.put(odd, 'odd');
  const keysOf = ({ text }: Answer): string[] => Array.from(text.matchAll(/<Key>(.*?)<\/Key>/gu), ([, key]) => key!);
  const first = await send('GET', 'bucket/?list-type=2&prefix=l%2F&max-keys=2');
  const token = /<NextContinuationToken>(.*?)</u.exec(first.text)![1]!;
  const rest = await send(
    'GET',
    `bucket/?list-type=2&prefix=l%2F&encoding-type=url&continuation-token=${encodeURIComponent(token)}`,
  );
  expect([...keysOf(first), ...keysOf(rest).map(decodeURIComponent)]).toEqual([
    'l/1',
    'l/2',
    'l/sub/1',
    'l/sub/2',
    odd,
  ]);
  const folders = await send('GET', 'bucket/?list-type=2&prefix=l%2F&delimiter=%2F');
  expect(folders.text).toContain('<CommonPrefixes><Prefix>l/sub/</Prefix></CommonPrefixes>');
  expect((await send('GET', `bucket/${odd.split('/').map(encodeURIComponent).join('/')}`)).text).toBe('odd');
  await send(
    'POST',
    'bucket/?delete',
    {},
    '<Delete><Object><Key>l/1</Key></Object><Object><Key>m</Key></Object></Delete>',
  );
  expect([...server.objects().keys()].filter((key) => /^(?:l\/1|m)$/u.test(key))).toEqual([]);
});

it('refuses wrong signatures, wrong hashes, and clocks that are apart', async () => {
  const other = (secretAccessKey: string, datetime?: string): Promise<Response> =>
    new AwsClient({ accessKeyId: 'test', secretAccessKey, service: 's3', region: 'x', retries: 0 }).fetch(
      `${server.endpoint}/bucket/x`,
      { ...(datetime !== undefined && { aws: { datetime } }) },
    );
  expect((await other('wrong')).status).toBe(403);
  expect(await (await other('secret', '20200101T000000Z')).text()).toContain('RequestTimeTooSkewed');
  expect((await fetch(`${server.endpoint}/bucket/x`)).status).toBe(403);
  expect(codeOf(await put('bucket/x', 'body', { 'x-amz-content-sha256': '0'.repeat(64) }))).toBe(
    'XAmzContentSHA256Mismatch',
  );
  expect(codeOf(await put('bucket/x', 'body', { 'x-amz-checksum-sha256': 'AAAA' }))).toBe('BadDigest');
  expect(server.objects().has('x')).toBe(false);
});
