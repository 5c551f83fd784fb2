// onnxruntime-node reports usage to Microsoft by default: it leaves a device id and a database in the home folder and a
// log file in /tmp. sentvec switches that off wherever it loads the library.
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { goldenPath } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { finished, Workplace } from './sentvec.ts';

const place = new Workplace();
const program = fileURLToPath(new URL('../bin/sentvec.mjs', import.meta.url));
const embedding = fileURLToPath(new URL('usage-reports/embed.mjs', import.meta.url));
const model = goldenPath('models/tiny-bert');
let homes = 0;

/** Runs a program with an empty home folder and only `more` in its environment. @returns the files that it left */
async function filesLeftBy(words: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const home = place.path(`home-${homes++}`);
  await mkdir(home);
  const start = Date.now();
  const child = spawn(process.execPath, words, {
    cwd: place.directory,
    env: { PATH: process.env['PATH'], HOME: home, SENTVEC_CACHE: place.path('cache'), ...more },
  });
  const result = await finished(child);
  expect(result).toMatchObject({ code: 0, stderr: expect.not.stringContaining('Microsoft') });
  const log = `/tmp/mat-debug-${child.pid}.log`;
  // An older file is from another process with the same id.
  const written = statSync(log, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return [...(await readdir(home, { recursive: true })), ...(written >= start - 1000 ? [log] : [])];
}

const windows = process.platform === 'win32';

describe.skipIf(windows)('an empty home folder stays empty (on Windows it is not found by HOME)', () => {
  it.each([
    ['the command embeds', [program, 'similarity', 'a cat', 'a dog', '--model', model]],
    ['a program embeds', [embedding, 'main', model]],
    ['a worker thread of a program embeds', [embedding, 'thread', model]],
    ['a worker thread with an environment of its own embeds', [embedding, 'thread-with-environment', model]],
  ])('when %s', async (_, words) => {
    expect(await filesLeftBy(words)).toEqual([]);
  });

  it('when the command trains', async () => {
    await place.writeRows(
      'pairs.jsonl',
      Array.from({ length: 8 }, (_, row) => ({ a: `song ${row}`, b: `tune ${row}` })),
    );
    const data = [{ file: 'pairs.jsonl', columns: ['a', 'b'], loss: 'MultipleNegativesRankingLoss' }];
    const config = await place.write(
      'config.json',
      JSON.stringify({ model, output: 'trained', data, epochs: 1, batchSize: 4 }),
    );
    expect(await filesLeftBy([program, 'train', config])).toEqual([]);
  });
});

const otherThanLinux = process.platform !== 'linux';

it.skipIf(otherThanLinux)(
  'ORT_DISABLE_TELEMETRY=0 allows the reports (checked on Linux, where their files are known)',
  async () => {
    const files = await filesLeftBy([embedding, 'main', model], { ORT_DISABLE_TELEMETRY: '0' });
    expect(files.some((file) => file.endsWith('onnxruntime.db'))).toBe(true);
  },
);

it('doctor shows in a few lines whether they are on, and prints nothing else', async () => {
  const { code, stdout, stderr } = await finished(place.start(['doctor'], { ORT_DISABLE_TELEMETRY: '0' }));
  expect([code, stderr]).toEqual([0, '']);
  // The install script of onnxruntime-node downloads the CUDA libraries only on this platform.
  const fetchesCuda = process.platform === 'linux' && process.arch === 'x64' && /backend onnx +cpu/u.test(stdout);
  expect(/cuda +not installed;[^✓]* npm rebuild [^✓]*ONNXRUNTIME_NODE_INSTALL=skip/u.test(stdout)).toBe(fetchesCuda);
  expect(stdout).toMatch(/telemetry +onnxruntime sends usage reports to Microsoft, because ORT_DISABLE_TELEMETRY=0\n/u);
  const lines = stdout.split('\n');
  expect(lines.length).toBeLessThan(20);
  expect(lines.filter(({ length }) => length > 100)).toEqual([]);
});
