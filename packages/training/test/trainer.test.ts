import { expect, test } from 'vitest';
import { memoryModel, SentvecError } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '@sentvec/backend-onnx';
import { goldenModel } from '@sentvec/testing';
import {
  fromScratch,
  lossFromName,
  train,
  type StepOrder,
  type StepResult,
  type TrainingCheckpoint,
  type TrainingEngine,
  type TrainingOptions,
  type TrainingRequest,
} from '@sentvec/training';
import { loadTrainable } from '@sentvec/training/node';
import { planEpoch } from '../src/data/plan.ts';
import { samplePairs } from './sample-pairs.ts';
import { curvesImage } from '../src/node/training-curves.ts';
import { scriptedEngine } from './scripted-engine.ts';
import { errorOf } from './training-folder.ts';

function setOf(name: string, count: number, loss = 'CoSENTLoss') {
  const examples = samplePairs(count);
  const columns = [examples.map(({ a }) => a), examples.map(({ b }) => b)];
  return { name, loss: lossFromName(loss), examples: { columns, labels: examples.map(({ score }) => score) } };
}

/** Trains with a fake engine, and with an evaluation that returns the given scores. */
async function trainScripted(
  scores: readonly number[],
  options: TrainingOptions,
  engine = scriptedEngine(() => ({})),
  more: Partial<TrainingRequest> = {},
) {
  const { reader } = await loadTrainable(goldenModel('tiny-bert'));
  const left = [...scores];
  return train({
    engine,
    reader,
    sets: [setOf('pairs', 40)],
    options,
    evaluate: async () => ({ score: left.shift() ?? 0 }),
    ...more,
  });
}

test('evaluates every n steps, keeps the best weights, and stops when patience is exhausted', async () => {
  const engine = scriptedEngine(() => ({}));
  const outcome = await trainScripted(
    [0.1, 0.5, 0.7, 0.6, 0.65, 0.9],
    { epochs: 4, batchSize: 8, evaluateEvery: 2, patience: 2 },
    engine,
  );
  expect(outcome.history.evaluations.map(({ step, score }) => [step, score])).toEqual([
    [0, 0.1],
    [2, 0.5],
    [4, 0.7],
    [6, 0.6],
    [8, 0.65],
  ]);
  expect(outcome).toMatchObject({ bestStep: 4, steps: 8, stoppedEarly: true });
  expect((await engine.state()).weights).toEqual(Float32Array.of(4));
});

test('a score of NaN is never the best and does not prevent later scores from becoming the best', async () => {
  const outcome = await trainScripted([Number.NaN, 0.5, Number.NaN, 0.7, 0.6], { batchSize: 10, evaluateEvery: 1 });
  expect(outcome).toMatchObject({ steps: 4, bestStep: 3 });
});

test('evaluates after each epoch, and at the end', async () => {
  const { history, stoppedEarly } = await trainScripted([0.1, 0.2, 0.3], { epochs: 2, batchSize: 8 });
  expect(history.evaluations.map(({ step }) => step)).toEqual([0, 5, 10]);
  expect(stoppedEarly).toBe(false);
  expect(
    (await trainScripted([0.1, 0.2], { maxSteps: 3, batchSize: 8 })).history.evaluations.map(({ step }) => step),
  ).toEqual([0, 3]);
});

test('gradients of several batches are accumulated in one step; the learning rate warms up and decays', async () => {
  const orders: StepOrder[] = [];
  const scripted = scriptedEngine(() => ({}));
  const engine: TrainingEngine = { ...scripted, step: (order) => (orders.push(order), scripted.step(order)) };
  const options = { epochs: 4, batchSize: 4, gradientAccumulation: 2, learningRate: 1, warmup: 0.2 };
  await trainScripted([], options, engine);
  expect(orders.map(({ batches }) => batches.length)).toEqual(Array.from({ length: 20 }, () => 2));
  expect(orders.map(({ learningRate }) => learningRate).slice(0, 4)).toEqual([0.25, 0.5, 0.75, 1]);
  expect(orders.at(-1)!.learningRate).toBeCloseTo(1 / 16);
  expect(new Set(orders.map(({ seed }) => seed)).size).toBe(20);
});

test('several data sets are mixed in proportion to their size, or round-robin', () => {
  const sets = [setOf('large', 64), setOf('small', 16)];
  const turns = (mixing: 'proportional' | 'round-robin') =>
    planEpoch(sets, { batchSize: 8, seed: 1, mixing }, 0).map(({ set }) => set);
  expect(turns('round-robin')).toEqual([0, 1, 0, 1]);
  const mixed = turns('proportional');
  const sorted = mixed.toSorted((a, b) => a - b);
  expect(sorted).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
  expect(mixed).not.toEqual(sorted);
});

/** Returns the steps and best steps of the checkpoints that a run writes. */
function checkpointsOf() {
  const checkpoints: TrainingCheckpoint[] = [];
  return {
    steps: () => checkpoints.map(({ step, best, state }) => [step, best?.step, state.weights[0]]),
    onCheckpoint: async (checkpoint: TrainingCheckpoint) => void checkpoints.push(checkpoint),
    last: () => checkpoints.at(-1)!,
  };
}

test('an abort stops the run between steps, and the checkpoint has the current and the best weights', async () => {
  const controller = new AbortController();
  const kept = checkpointsOf();
  const error = await errorOf(() =>
    trainScripted([0.1, 0.9, 0.2], { batchSize: 4, evaluateEvery: 3 }, undefined, {
      signal: controller.signal,
      onProgress: ({ step }) => step === 7 && controller.abort(),
      onCheckpoint: kept.onCheckpoint,
    }),
  );
  expect(error).toMatchObject({ code: 'aborted', details: { checkpointStep: 7 } });
  expect(kept.steps()).toEqual([[7, 3, 7]]);
  expect(kept.last().history.steps).toHaveLength(7);
});

test('an abort during an evaluation keeps the weights of its step', async () => {
  const controller = new AbortController();
  const kept = checkpointsOf();
  const engine = scriptedEngine(() => ({}));
  const evaluate: TrainingRequest['evaluate'] = async (embed) => {
    if ((await engine.state()).steps === 4) controller.abort();
    return { score: (await embed(['a text'])).data[0]! };
  };
  const error = await errorOf(() =>
    trainScripted([], { batchSize: 4, evaluateEvery: 4 }, engine, {
      signal: controller.signal,
      evaluate,
      onCheckpoint: kept.onCheckpoint,
    }),
  );
  expect(error).toMatchObject({ code: 'aborted', details: { checkpointStep: 4 } });
  expect(kept.steps()).toEqual([[4, 0, 4]]);
});

test('a run that is aborted before its first step writes no checkpoint', async () => {
  const kept = checkpointsOf();
  const error = await errorOf(() =>
    trainScripted([], {}, undefined, { signal: AbortSignal.abort(), onCheckpoint: kept.onCheckpoint }),
  );
  expect(error.code).toBe('aborted');
  expect(error.details).not.toHaveProperty('checkpointStep');
  expect(kept.steps()).toEqual([]);
});

test('a checkpoint that cannot be written stops the run; the error names the last valid one', async () => {
  const kept = checkpointsOf();
  const onCheckpoint = async (checkpoint: TrainingCheckpoint) => {
    if (checkpoint.step > 4) throw new SentvecError('io-failed', 'The disk is full.');
    await kept.onCheckpoint(checkpoint);
  };
  const error = await errorOf(() =>
    trainScripted([], { batchSize: 4, checkpointEvery: 2 }, undefined, { onCheckpoint }),
  );
  expect(error).toMatchObject({ code: 'io-failed', message: 'The disk is full.', details: { checkpointStep: 4 } });
  expect(kept.steps().map(([step]) => step)).toEqual([2, 4]);
});

test('finish returns the best weights of the checkpoint, without training', async () => {
  const kept = checkpointsOf();
  await errorOf(() =>
    trainScripted(
      [0.1, 0.9, 0.2],
      { batchSize: 4, evaluateEvery: 2 },
      scriptedEngine((step) => (step === 5 ? { loss: Number.NaN } : {})),
      { onCheckpoint: kept.onCheckpoint },
    ),
  );
  const engine = scriptedEngine(() => ({}));
  const outcome = await trainScripted([], { batchSize: 4 }, engine, { resumeFrom: kept.last(), finish: true });
  expect(outcome).toMatchObject({ steps: 5, bestStep: 2 });
  expect((await engine.state()).weights).toEqual(Float32Array.of(2));
});

test('a run of 150,000 steps can be resumed, and its curves can be drawn', async () => {
  const count = 150_000;
  const engine = scriptedEngine(() => ({}));
  const steps = Array.from({ length: count }, (_, index) => ({
    step: index + 1,
    loss: 1 / (index + 1),
    learningRate: 1e-5,
    gradientNorm: 1,
  }));
  const resumeFrom = { step: count, history: { steps, evaluations: [] }, state: await engine.state() };
  const sampler = () => Array.from({ length: count }, () => Int32Array.of(0, 1));
  const sets = [{ ...setOf('pairs', 40), sampler }];
  const outcome = await trainScripted([], {}, engine, { sets, resumeFrom, finish: true });
  expect(outcome.history.steps).toHaveLength(count);
  expect(curvesImage(outcome.history)).toContain('1.0000</text>');
});

/** Losses of 0.4 and gradient norms of 1, which change after step 30. */
async function trainDiverging(
  later: Partial<StepResult>,
  options: TrainingOptions = {},
  more: Partial<TrainingRequest> = {},
) {
  const messages: string[] = [];
  const engine = scriptedEngine((step) => (step < 30 ? { loss: 0.4 } : later));
  const run = trainScripted([], { epochs: 10, batchSize: 4, ...options }, engine, {
    onWarning: (message) => messages.push(message),
    ...more,
  });
  return { messages, run };
}

test('a diverging loss causes one warning, and the run continues', async () => {
  const { messages, run } = await trainDiverging({ loss: 4 });
  expect((await run).steps).toBe(100);
  expect(messages).toEqual([
    expect.stringMatching(
      /^The loss diverges: .* at step \d+, rows .* of pairs\. Start a new run with a learning rate lower than 0.00002 if this continues\.$/,
    ),
  ]);
});

test('vanishing gradients with a loss that has not improved cause a warning', async () => {
  const { messages, run } = await trainDiverging({ loss: 0.4, gradientNorm: 1e-7 });
  expect((await run).steps).toBe(100);
  expect(messages).toEqual([expect.stringMatching(/^The model may have collapsed: /)]);
});

test('a diverging loss with exploding gradients stops the run, unless watchDivergence is off', async () => {
  const { messages, run } = await trainDiverging({ loss: 4, gradientNorm: 100 });
  const error = await errorOf(() => run);
  expect(error.code).toBe('training-failed');
  expect(error.message).toMatch(
    /^The loss diverges and the gradients explode at step 3\d, .*\. Start a new run with a learning rate lower than 0.00002, or continue with watchDivergence: false\.$/,
  );
  expect(messages).toEqual([]);
  const unwatched = await trainDiverging({ loss: 4, gradientNorm: 100 }, { watchDivergence: false });
  expect((await unwatched.run).steps).toBe(100);
});

const exploding = { loss: 4, gradientNorm: 100 };

test.each([
  ['without an evaluation', undefined, undefined],
  ['with one', async () => ({ score: 0 }), 0],
])(
  'after an explosion, the checkpoint has the weights from before the divergence, %s',
  async (_, evaluate, bestStep) => {
    const kept = checkpointsOf();
    // A checkpoint is written at step 33, while the loss diverges, and replaced later.
    const options = { checkpointEvery: 33 };
    const { run } = await trainDiverging(exploding, options, { evaluate, onCheckpoint: kept.onCheckpoint });
    const error = await errorOf(() => run);
    expect(kept.steps()).toEqual([
      [33, bestStep, 33],
      [25, bestStep, 25],
    ]);
    expect(error.details).toMatchObject({ checkpointStep: 25 });
    const { history, state } = kept.last();
    expect(history.steps.map(({ step }) => step)).toEqual(Array.from({ length: 25 }, (__, index) => index + 1));
    expect(state.steps).toBe(25);

    const finishing = scriptedEngine(() => ({}));
    await trainScripted([], { epochs: 10, batchSize: 4 }, finishing, {
      evaluate,
      resumeFrom: kept.last(),
      finish: true,
    });
    expect((await finishing.state()).weights).toEqual(Float32Array.of(bestStep ?? 25));

    // Resumed with the same settings, it stops again at the same step; with watchDivergence off it continues.
    const again = await trainDiverging(exploding, options, { evaluate, resumeFrom: kept.last() });
    expect((await errorOf(() => again.run)).details['step']).toBe(error.details['step']);
    const unwatched = await trainDiverging(
      exploding,
      { ...options, watchDivergence: false },
      { evaluate, resumeFrom: kept.last() },
    );
    expect((await unwatched.run).history.steps.map(({ step }) => step)).toEqual(
      Array.from({ length: 100 }, (__, index) => index + 1),
    );
  },
);

test('if a diverging loss becomes NaN, the checkpoint also has the weights from before the divergence', async () => {
  const kept = checkpointsOf();
  const engine = scriptedEngine((step) => ({ loss: step < 30 ? 0.4 : step < 45 ? 4 : Number.NaN }));
  const options = { epochs: 10, batchSize: 4 };
  const more = { evaluate: undefined, onCheckpoint: kept.onCheckpoint, onWarning: () => {} };
  const error = await errorOf(() => trainScripted([], options, engine, more));
  expect(error.message).toMatch(/^The loss is NaN at step 46/);
  expect(kept.steps()).toEqual([[25, undefined, 25]]);
});

test('an update after which the loss is invalid is not kept', async () => {
  const kept = checkpointsOf();
  // The 25th update breaks the weights: the loss of step 26 shows it.
  const engine = scriptedEngine((step) => (step < 25 ? { loss: 0.4 } : exploding));
  const more = { evaluate: undefined, onCheckpoint: kept.onCheckpoint };
  const error = await errorOf(() => trainScripted([], { epochs: 10, batchSize: 4 }, engine, more));
  expect(error.details).toMatchObject({ checkpointStep: 0 });
  expect(kept.steps()).toEqual([[0, undefined, 0]]);
});

test('if the engine is lost, the last good weights are kept', async () => {
  const kept = checkpointsOf();
  const scripted = scriptedEngine(() => ({}));
  let isLost = false;
  const lost = () => Promise.reject(new SentvecError('backend-failed', 'The thread has ended.'));
  const engine: TrainingEngine = {
    ...scripted,
    step: (order) => (isLost ? lost() : scripted.step(order)),
    state: () => (isLost ? lost() : scripted.state()),
  };
  const onProgress = ({ step }: { step: number }) => (isLost = step === 40);
  const more = { evaluate: undefined, onCheckpoint: kept.onCheckpoint, onProgress };
  const error = await errorOf(() => trainScripted([], { epochs: 10, batchSize: 4 }, engine, more));
  expect(error).toMatchObject({ code: 'backend-failed', details: { checkpointStep: 25 } });
  expect(kept.steps()).toEqual([[25, undefined, 25]]);
});

test.each([
  ['epochs', 0],
  ['epochs', 1.5],
  ['maxSteps', 0],
  ['batchSize', 0],
  ['gradientAccumulation', -1],
  ['learningRate', 0],
  ['learningRate', Number.NaN],
  ['warmup', 1.5],
  ['warmup', -0.1],
  ['seed', 0.5],
  ['evaluateEvery', 0],
  ['patience', 0],
  ['checkpointEvery', 0],
])('%s of %d is refused', async (name, value) => {
  const error = await errorOf(() => trainScripted([], { [name]: value }));
  expect(error.code).toBe('invalid-argument');
  expect(error.message).toMatch(new RegExp(`^${name} .*must be .*`));
  expect(error.message).toContain(String(value));
});

test('patience without an evaluation is refused', async () => {
  const error = await errorOf(() => trainScripted([], { patience: 2 }, undefined, { evaluate: undefined }));
  expect(error).toMatchObject({ code: 'invalid-argument', message: expect.stringContaining('patience') as string });
});

test('examples that fit into no batch cause a warning with their number', async () => {
  const messages: string[] = [];
  const texts = Array.from({ length: 12 }, (_, i) => `anchor ${i < 8 ? 0 : i}`);
  const set = {
    name: 'pairs',
    loss: lossFromName('MultipleNegativesRankingLoss'),
    examples: { columns: [texts, texts.map((_, i) => `positive ${i}`)] },
  };
  const outcome = await trainScripted([], { batchSize: 4 }, undefined, {
    sets: [set],
    onWarning: (message) => messages.push(message),
  });
  // The anchor 0 is in eight batches: in the first with three of the four other anchors, in the second with one, then
  // alone.
  expect(outcome.usedExamples).toEqual([6]);
  expect(messages).toEqual([
    'An epoch uses 6 of the 12 examples of pairs. ' +
      'The others fit into no batch: their texts repeat too often, or they are alone in their class.',
  ]);
});

test('a warning names the number of examples that round-robin mixing does not use', async () => {
  const messages: string[] = [];
  await trainScripted([], { batchSize: 8, mixing: 'round-robin' }, undefined, {
    sets: [setOf('large', 64), setOf('small', 16)],
    onWarning: (message) => messages.push(message),
  });
  expect(messages).toEqual([
    expect.stringMatching(
      /^An epoch uses 16 of the 64 examples of large\. .*another set has no more batches.*round-robin/,
    ),
  ]);
});

test('class labels are compared as strings, even if they are numbers', async () => {
  const seen: Float32Array[] = [];
  const scripted = scriptedEngine(() => ({}));
  const engine: TrainingEngine = {
    ...scripted,
    step: (order) => (seen.push(order.batches[0]!.labels!), scripted.step(order)),
  };
  const names = [2 ** 24, 2 ** 24 + 1, '9007199254740993', '9007199254740992', 'a', 'b'];
  const labels = [...names, ...names];
  const columns = [labels.map((name, i) => `text ${i} of ${name}`)];
  const set = { name: 'classes', loss: lossFromName('BatchHardTripletLoss'), examples: { columns, labels } };
  await trainScripted([], { batchSize: 12 }, engine, { sets: [set] });
  expect(seen).toHaveLength(1);
  expect(new Set(seen[0]).size).toBe(6);
});

test('a text without tokens is refused with an error that names its row', async () => {
  const { reader } = await loadTrainable(goldenModel('tiny-bert'));
  const set = setOf('pairs', 8);
  const [first, second] = set.examples.columns as [string[], string[]];
  const sets = [{ ...set, examples: { ...set.examples, columns: [first.with(5, ' '), second] } }];
  const error = await errorOf(() =>
    trainScripted([], {}, undefined, { sets, reader: { ...reader, addSpecialTokens: false } }),
  );
  expect(error).toMatchObject({ code: 'invalid-corpus', details: { file: 'pairs', row: 5 } });
});

test.each([
  'bert',
  'roberta',
  'xlm-roberta',
  'camembert',
  'mpnet',
  'distilbert',
  'static-embedding',
  'universal-sentence-encoder-lite',
])('%s from scratch: the folder has positions for its maximum length, and can be loaded', async (modelType) => {
  const texts = samplePairs(50).flatMap(({ a, b }) => [a, b]);
  const files = await fromScratch('scratch', texts, {
    config: { model_type: modelType },
    vocabularySize: 100,
    maxLength: 24,
  });
  const embedder = await loadEmbedder(memoryModel('scratch', await contentsOf(files)), { backend: onnx() });
  const { vectors } = await embedder.embed(['the quick brown fox', 'words '.repeat(60), 'an unknown ☃']);
  expect([vectors.rows, vectors.cols]).toEqual([3, 256]);
  for (const row of [0, 1, 2]) {
    const length = Math.hypot(...vectors.data.subarray(row * 256, (row + 1) * 256));
    expect(length).toBeCloseTo(1, 4);
  }
  expect(modelType === 'static-embedding' || embedder.maxLength === 24).toBe(true);
  await embedder.dispose();
});

async function contentsOf(files: Awaited<ReturnType<typeof fromScratch>>): Promise<Record<string, Uint8Array>> {
  return Object.fromEntries(
    await Promise.all((await files.list()).map(async (path) => [path, await files.read(path)] as const)),
  );
}
