import { cp, mkdir, writeFile } from 'node:fs/promises';
import type { Manifest } from '@sentvec/corpus';
import { goldenExpectation, goldenPath } from '@sentvec/testing';
import { expect, it } from 'vitest';
import { finished, largestDifference, Workplace } from './sentvec.ts';

const place = new Workplace();
const commit = '0123456789abcdef0123456789abcdef01234567';

it('a model from the Hub is loaded from the Hub cache, and its commit is recorded in the manifest', async () => {
  const repository = 'hub/models--someone--tiny-bert';
  await mkdir(place.path(`${repository}/refs`), { recursive: true });
  await writeFile(place.path(`${repository}/refs/main`), commit);
  await cp(goldenPath('models/tiny-bert'), place.path(`${repository}/snapshots/${commit}`), { recursive: true });
  const { cases } = goldenExpectation('tiny-bert');
  const input = await place.writeRows('rows.jsonl', [{ text: cases[2]!.text }]);
  const model = ['--model', 'someone/tiny-bert', '--without-prompt'];
  const words = ['embed', input, ...model, '--format', 'jsonl', '--output', 'vectors'];
  const child = place.start([...words, '--json'], { HF_HUB_CACHE: place.path('hub') });
  child.stdin.end();
  const { code, stdout, stderr } = await finished(child);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  const manifest: Manifest = JSON.parse(stdout);
  expect(manifest).toMatchObject({ model: 'someone/tiny-bert', revision: commit, complete: true });
  const [row] = await place.readVectors('vectors');
  expect(largestDifference(row!.embedding, cases[2]!.embedding)).toBeLessThan(5e-5);
});
