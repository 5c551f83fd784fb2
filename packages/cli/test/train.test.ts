import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { goldenPath } from '@sentvec/testing';
import { expect, it } from 'vitest';
import { finished, Workplace } from './sentvec.ts';

const place = new Workplace();
const pairs = Array.from({ length: 120 }, (_, row) => ({
  a: `a man plays song ${row}`,
  b: row % 2 === 0 ? `a man is playing song ${row}` : `rates of interest rose by ${row}`,
  score: row % 2 === 0 ? 1 : 0,
}));

async function writeConfig(output: string, changes: object = {}): Promise<string> {
  await place.writeRows('pairs.jsonl', pairs);
  const data = { file: 'pairs.jsonl', columns: ['a', 'b'], label: 'score' };
  const config = {
    model: goldenPath('models/tiny-bert'),
    output,
    data: [{ ...data, loss: 'CoSENTLoss' }],
    evaluation: { ...data, type: 'binary' },
    learningRate: 1e-3,
    batchSize: 8,
    ...changes,
  };
  return place.write(`${output}.json`, JSON.stringify(config));
}

it('train: writes a model folder, whose score equals the printed one', async () => {
  const config = await writeConfig('trained', { epochs: 2 });
  const { evaluations, bestStep } = JSON.parse(await place.succeed(['train', config, '--json'])) as {
    evaluations: { step: number; score: number }[];
    bestStep: number;
  };
  const best = evaluations.find(({ step }) => step === bestStep)!;
  expect(best.score).toBeGreaterThan(evaluations[0]!.score);
  expect(await readdir(place.path('trained'))).toEqual(
    expect.arrayContaining(['README.md', 'model.safetensors', 'onnx', 'report.html']),
  );
  const triplets = pairs.flatMap(({ a, b, score }, row) =>
    score === 1 ? [{ anchor: a, positive: b, negative: pairs[(row + 1) % 120]!.b }] : [],
  );
  await place.writeRows('triplets.jsonl', triplets);
  const { metrics } = JSON.parse(
    await place.succeed(['evaluate', 'triplet', 'triplets.jsonl', '--model', './trained', '--json']),
  ) as {
    metrics: Record<string, number>;
  };
  expect(metrics['accuracy_cosine']).toBeGreaterThan(0.9);
});

it('Ctrl-C leaves a checkpoint and prints how to continue; the resumed run has the same result as an undisturbed one', async () => {
  const changes = { epochs: 8, threads: 1, evaluation: undefined };
  await place.succeed(['train', await writeConfig('whole', changes)]);
  const config = await writeConfig('stopped', {
    ...changes,
    evaluateEvery: 10,
    checkpointEvery: 5,
  });
  const child = place.start(['train', config]);
  const end = finished(child);
  while (!existsSync(place.path('stopped.checkpoint.safetensors')))
    await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill('SIGINT');
  const { code, stderr } = await end;
  expect(code).toBe(130);
  expect(stderr).toMatch(
    /Stopped\. The weights of step \d+ are in .*stopped\.checkpoint\.safetensors\. Continue with: /,
  );
  expect(stderr).toContain('Continue with: sentvec train stopped.json --resume');
  expect(stderr).toContain('with: sentvec train stopped.json --finish');
  expect(existsSync(place.path('stopped'))).toBe(false);
  await place.succeed(['train', config, '--resume']);
  expect(
    (await readFile(place.path('stopped/model.safetensors'))).equals(
      await readFile(place.path('whole/model.safetensors')),
    ),
  ).toBe(true);
});

it('--finish writes a model with the weights from before Ctrl-C', async () => {
  const config = await writeConfig('unfinished', { epochs: 40, threads: 1, checkpointEvery: 5, evaluateEvery: 5 });
  const child = place.start(['train', config]);
  const end = finished(child);
  while (!existsSync(place.path('unfinished.checkpoint.safetensors')))
    await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill('SIGINT');
  expect((await end).code).toBe(130);
  const again = await place.run(['train', config]);
  expect([again.code, again.stderr]).toEqual([
    1,
    expect.stringMatching(/Continue with --resume, write a model from it with --finish/),
  ]);
  const { steps, bestStep } = JSON.parse(await place.succeed(['train', config, '--finish', '--json'])) as {
    steps: number;
    bestStep: number;
  };
  expect(steps).toBeGreaterThanOrEqual(5);
  expect(bestStep).toBeLessThanOrEqual(steps);
  expect(await readdir(place.path('unfinished'))).toContain('model.safetensors');
  expect(existsSync(place.path('unfinished.checkpoint.safetensors'))).toBe(false);
});

it('--resume without a checkpoint starts at the first step and prints that', async () => {
  const config = await writeConfig('fresh', { maxSteps: 2, evaluation: undefined });
  const { code, stderr } = await place.run(['train', config, '--resume']);
  expect([code, stderr]).toEqual([0, expect.stringMatching(/There is no checkpoint .*fresh\.checkpoint\.safetensors/)]);
});

it('--schema prints a JSON Schema; the example in --help matches it', async () => {
  const schema = JSON.parse(await place.succeed(['train', '--schema'])) as { properties: object };
  expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(['model', 'output', 'data']));
  const help = await place.succeed(['train', '--help']);
  const { parseTrainingConfig } = await import('@sentvec/training/node');
  const example: unknown = JSON.parse(/^\{[^]*?^\}/m.exec(help)![0]);
  expect(parseTrainingConfig(example, 'help')).toMatchObject({ model: 'use-lite', epochs: 4 });
  const { code, stderr } = await place.run(['train']);
  expect([code, stderr]).toEqual([2, expect.stringContaining('Name one configuration')]);
});
