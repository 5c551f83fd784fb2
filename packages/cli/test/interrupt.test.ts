import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Manifest } from '@sentvec/corpus';
import { goldenPath } from '@sentvec/testing';
import { expect, it } from 'vitest';
import { finished, Workplace } from './sentvec.ts';

const place = new Workplace();
const rows = 8000;
const flags = ['--model', goldenPath('models/tiny-bert'), '--shard-rows', '256', '--id', 'id'];

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(5);
}

async function shardsIn(output: string): Promise<number> {
  if (!existsSync(place.path(output))) return 0;
  return (await readdir(place.path(output))).filter((name) => name.startsWith('shard-')).length;
}

it('Ctrl-C during a run, then --resume: the same bytes as an undisturbed run', async () => {
  await place.writeRows(
    'rows.jsonl',
    Array.from({ length: rows }, (_, row) => ({
      id: `row-${row}`,
      text: row % 1000 === 7 ? 7 : `sentence ${row} about ${'many '.repeat(row % 30)}things`,
    })),
  );
  await place.succeed(['embed', 'rows.jsonl', ...flags, '--output', 'whole']);

  const words = ['embed', 'rows.jsonl', ...flags, '--output', 'stopped'];
  const child = place.start(words);
  const end = finished(child);
  await until(async () => (await shardsIn('stopped')) >= 3);
  child.kill('SIGINT');
  const { code, stdout, stderr } = await end;
  expect(code).toBe(130);
  expect(stdout).toBe('');
  expect(stderr).toContain(`continue with: sentvec ${words.join(' ')} --resume`);
  const left: Manifest = JSON.parse(await readFile(place.path('stopped/manifest.json'), 'utf8'));
  expect(left.complete).toBe(false);
  expect(await shardsIn('stopped')).toBeLessThan(await shardsIn('whole'));

  const again = await place.run(words);
  expect(again.stderr).toMatch(/unfinished run: --resume continues it/);
  expect(again.code).toBe(1);

  await place.succeed([...words, '--resume']);
  expect(await place.hashes('stopped')).toEqual(await place.hashes('whole'));
});

it.each([
  ['before it says anything', ''],
  ['in the middle of it', '{"id": "a", "text": "the first of many"}\n'],
])('Ctrl-C while the command waits for standard input, %s, leaves no files', async (moment, input) => {
  const output = moment.replaceAll(' ', '-');
  const child = place.start(['embed', '-', '--input-format', 'jsonl', ...flags, '--output', output]);
  const end = finished(child);
  child.stdin.write(input);
  await until(async () => existsSync(place.path(output)));
  child.kill('SIGINT');
  const { code, stdout, stderr } = await end;
  expect([code, stdout]).toEqual([130, '']);
  expect(stderr).toContain('Stopped.');
  expect(existsSync(place.path(output))).toBe(false);
});
