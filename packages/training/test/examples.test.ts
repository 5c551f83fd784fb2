import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

// Each example starts a separate process and reads WordNet, which is slow on a machine under load, so the timeouts are
// long.
vi.setConfig({ testTimeout: 600_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-examples-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs one of the `examples/` with fewer texts. @returns its output */
async function run(example: string, settings: Readonly<Record<string, string>>): Promise<string> {
  const script = fileURLToPath(new URL(`../../../examples/${example}/main.mjs`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script, join(folder, example)], {
    env: { ...process.env, ...settings },
  });
  return stdout;
}

test('similarity: the default model learns from scored pairs', async () => {
  const output = await run('similarity', { PAIRS: '96' });
  const [, first, last] = /first epoch (\S+), in the last (\S+)/.exec(output)!.map(Number);
  expect(last).toBeLessThan(first!);
  expect(await readdir(join(folder, 'similarity/model'))).toEqual(
    expect.arrayContaining(['report.html', 'model.safetensors', 'onnx']),
  );
});

test('domain-search: training improves the NDCG of new questions', async () => {
  const output = await run('domain-search', { ANSWERS: '60', EPOCHS: '1' });
  const ofQuestions = (when: string) =>
    Number(new RegExp(`^${when}: NDCG@10 of the new questions (\\S+)`, 'm').exec(output)![1]);
  expect(ofQuestions('after')).toBeGreaterThan(ofQuestions('before'));
});

test('what-training-buys: a table and a plot of five encoders', async () => {
  const output = await run('what-training-buys', { PAIRS: '96', JUDGED: '60' });
  const row = (name: string) =>
    new RegExp(`^${name} +(\\S+) +(\\S+)$`, 'm').exec(output)!.slice(1).map(Number) as [number, number];
  const encoders = [
    'raw token means',
    'untrained encoder',
    'trained from scratch',
    'default model',
    'default model, fine-tuned',
  ];
  for (const score of encoders.flatMap(row)) expect(Math.abs(score)).toBeLessThanOrEqual(1);
  // Words and their definitions share no tokens, so only a trained encoder finds the definition of a word.
  expect(row('default model')[1]).toBeGreaterThan(row('untrained encoder')[1]);
  const plot = await readFile(join(folder, 'what-training-buys/plot.html'), 'utf8');
  expect(plot.match(/<rect /g)).toHaveLength(10);
  expect(plot).not.toMatch(/https?:\/\//);
});
