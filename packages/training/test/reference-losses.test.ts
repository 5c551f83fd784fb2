import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readTable } from '@sentvec/corpus';
import { useLite } from '@sentvec/model-use-lite';
import { goldenPath } from '@sentvec/testing';
import {
  lossFromName,
  makeBatch,
  recordGraphs,
  trainableTensors,
  type RecordOptions,
  type TrainingEngine,
} from '@sentvec/training';
import { loadTrainable, onnxEngine } from '@sentvec/training/node';
import { tfjsEngine } from '@sentvec/training/tfjs';
import { makeNativeTraining, reasonWithoutNative } from './native-training.ts';

interface GoldenRun {
  readonly lr: number;
  readonly batch: number;
  readonly losses: readonly number[];
  readonly grad_norms: readonly number[];
}

const data = fileURLToPath(new URL('../../../../shared/data/', import.meta.url));
const absent = existsSync(data) ? false : 'the data sets (STS-B, SNLI) may not be distributed with the project';
const golden = JSON.parse(readFileSync(goldenPath('training.json'), 'utf8')) as Record<string, GoldenRun>;

/**
 * Returns triplets of a premise, its i-th entailment and its i-th contradiction; premises are in the order of their
 * first occurrence.
 */
function snliTriplets(): string[][] {
  const premises = new Map<string, { entailment: string[]; contradiction: string[] }>();
  for (const row of readFileSync(`${data}nli/snli-dev.jsonl`, 'utf8').trim().split('\n')) {
    const { premise, hypothesis, label } = JSON.parse(row) as { premise: string; hypothesis: string; label: string };
    const found = premises.get(premise) ?? { entailment: [], contradiction: [] };
    premises.set(premise, found);
    if (label === 'entailment' || label === 'contradiction') found[label].push(hypothesis);
  }
  const triplets = [...premises].flatMap(([premise, { entailment, contradiction }]) =>
    entailment.flatMap((positive, i) =>
      contradiction[i] === undefined ? [] : [[premise, positive, contradiction[i]]],
    ),
  );
  return [0, 1, 2].map((column) => triplets.map((triplet) => triplet[column]!));
}

async function stsbPairs(): Promise<{ columns: readonly (readonly string[])[]; labels: number[] }> {
  const { columns, labels } = await readTable({
    file: `${data}stsb/stsb-en-train.csv`,
    columns: [0, 1],
    label: 2,
    header: false,
  });
  return { columns, labels: labels!.map((label) => Number(label) / 5) };
}

type Model = Awaited<ReturnType<typeof loadTrainable>>;
type MakeEngine = (model: Model, options: RecordOptions) => Promise<TrainingEngine>;

/** The golden training runs: loss and texts. */
async function goldenRuns() {
  return {
    cosine_similarity: { loss: 'CosineSimilarityLoss', ...(await stsbPairs()) },
    cosent: { loss: 'CoSENTLoss', ...(await stsbPairs()) },
    multiple_negatives: { loss: 'MultipleNegativesRankingLoss', columns: snliTriplets(), labels: undefined },
  };
}

/**
 * Runs ten steps of each run.
 * @returns the losses and gradient norms that differ from those of PyTorch, with the difference
 */
async function compareSteps(
  makeEngine: MakeEngine,
  keys: readonly (keyof Awaited<ReturnType<typeof goldenRuns>>)[],
): Promise<string[]> {
  const off: string[] = [];
  const compare = (what: string, actual: number, wanted: number, tolerance: number) => {
    const difference = Math.abs(actual / wanted - 1);
    if (!(difference < tolerance)) off.push(`${what}: ${actual} instead of ${wanted}`);
  };
  const loaded = await loadTrainable(await useLite());
  const { model, reader } = loaded;
  const trained = new Set(trainableTensors(model).map(({ name }) => name));
  const runs = await goldenRuns();
  for (const key of keys) {
    const { loss, columns, labels } = runs[key];
    const { lr, batch, losses, grad_norms: norms } = golden[key]!;
    const objectives = [{ loss: lossFromName(loss), columns: columns.length }];
    const engine = await makeEngine(loaded, { objectives, trained, dropout: false });
    for (const [step, expected] of losses.entries()) {
      const rows = [step * batch, (step + 1) * batch] as const;
      const texts = [];
      for (const column of columns) texts.push({ texts: await reader.tokenizer.encode(column.slice(...rows), reader) });
      const order = {
        batches: [makeBatch(texts, labels && Float32Array.from(labels.slice(...rows)))],
        learningRate: lr,
      };
      const result = await engine.step(order);
      compare(`${key}, loss of step ${step}`, result.loss, expected, 1e-3);
      compare(`${key}, gradient norm of step ${step}`, result.gradientNorm, norms[step]!, 5e-3);
    }
    await engine.dispose();
  }
  return off;
}

const options = { timeout: 600_000 };
const because = absent ? `: ${absent}` : '';

test.skipIf(absent)(
  `ten steps of the default model have PyTorch's losses on onnxruntime${because}`,
  options,
  async () => {
    const makeEngine: MakeEngine = async ({ model, dimension }, parts) =>
      onnxEngine(recordGraphs(model, dimension, parts));
    expect(await compareSteps(makeEngine, ['cosine_similarity', 'cosent', 'multiple_negatives'])).toEqual([]);
  },
);

test.skipIf(absent)(
  `ten steps of the default model have PyTorch's losses on TensorFlow.js, WebAssembly${because}`,
  options,
  async () => {
    const makeEngine: MakeEngine = async ({ model }, parts) => tfjsEngine(model, { ...parts, device: 'wasm' });
    expect(await compareSteps(makeEngine, ['cosent'])).toEqual([]);
  },
);

const noNative = absent || reasonWithoutNative;
test.skipIf(noNative)(
  `ten steps of the default model have PyTorch's losses on TensorFlow.js, native${noNative ? `: ${noNative}` : ''}`,
  options,
  async () => {
    const project = await makeNativeTraining();
    try {
      const { tfjsEngine: nativeEngine } = project;
      const makeEngine: MakeEngine = async ({ model }, parts) =>
        nativeEngine(model, { ...parts, device: 'tfjs-node-gpu' });
      expect(await compareSteps(makeEngine, ['cosine_similarity', 'cosent', 'multiple_negatives'])).toEqual([]);
    } finally {
      await rm(project.folder, { recursive: true, force: true });
    }
  },
);
