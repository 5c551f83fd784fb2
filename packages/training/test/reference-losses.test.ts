import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { useLite } from '@sentvec/model-use-lite';
import { goldenPath } from '@sentvec/testing';
import { lossFromName, makeBatch, recordGraphs, trainableTensors } from '@sentvec/training';
import { loadTrainable, onnxEngine, readTable } from '@sentvec/training/node';

interface GoldenRun {
  readonly lr: number;
  readonly batch: number;
  readonly losses: readonly number[];
  readonly grad_norms: readonly number[];
}

const data = fileURLToPath(new URL('../../../../shared/data/', import.meta.url));
const absent = existsSync(data) ? false : 'the data sets (STS-B, SNLI) may not be distributed with the project';
const golden = JSON.parse(readFileSync(goldenPath('training.json'), 'utf8')) as Record<string, GoldenRun>;

/** The i-th entailment of a premise with its i-th contradiction, premises in order of first appearance: anchors, positives, negatives. */
function snliTriplets(): string[][] {
  const premises = new Map<string, { entailment: string[]; contradiction: string[] }>();
  for (const row of readFileSync(`${data}nli/snli-dev.jsonl`, 'utf8').trim().split('\n')) {
    const { premise, hypothesis, label } = JSON.parse(row) as { premise: string; hypothesis: string; label: string };
    const found = premises.get(premise) ?? { entailment: [], contradiction: [] };
    premises.set(premise, found);
    if (label === 'entailment' || label === 'contradiction') found[label].push(hypothesis);
  }
  const triplets = [...premises].flatMap(([premise, { entailment, contradiction }]) =>
    entailment.flatMap((positive, i) => (contradiction[i] === undefined ? [] : [[premise, positive, contradiction[i]]])),
  );
  return [0, 1, 2].map((column) => triplets.map((triplet) => triplet[column]!));
}

async function stsbPairs(): Promise<{ columns: readonly (readonly string[])[]; labels: number[] }> {
  const { columns, labels } = await readTable({ file: `${data}stsb/stsb-en-train.csv`, columns: [0, 1], label: 2, header: false });
  return { columns, labels: labels!.map((label) => Number(label) / 5) };
}

test.skipIf(absent)(
  `ten steps of the default model have PyTorch's losses${absent ? `: ${absent}` : ''}`,
  { timeout: 300_000 },
  async () => {
    const { model, reader, dimension } = await loadTrainable(await useLite());
    const trained = new Set(trainableTensors(model).map(({ name }) => name));
    const runs = [
      { key: 'cosine_similarity', loss: 'CosineSimilarityLoss', ...(await stsbPairs()) },
      { key: 'cosent', loss: 'CoSENTLoss', ...(await stsbPairs()) },
      { key: 'multiple_negatives', loss: 'MultipleNegativesRankingLoss', columns: snliTriplets(), labels: undefined },
    ];
    for (const { key, loss, columns, labels } of runs) {
      const { lr, batch, losses, grad_norms: norms } = golden[key]!;
      const engine = onnxEngine(
        recordGraphs(model, dimension, { objectives: [{ loss: lossFromName(loss), columns: columns.length }], trained, dropout: false }),
      );
      for (const [step, expected] of losses.entries()) {
        const rows = [step * batch, (step + 1) * batch] as const;
        const texts = [];
        for (const column of columns) texts.push({ texts: await reader.tokenizer.encode(column.slice(...rows), reader) });
        const order = { batches: [makeBatch(texts, labels && Float32Array.from(labels.slice(...rows)))], learningRate: lr };
        const result = await engine.step(order);
        expect.soft(Math.abs(result.loss / expected - 1), `${key}, loss of step ${step}`).toBeLessThan(1e-3);
        expect.soft(Math.abs(result.gradientNorm / norms[step]! - 1), `${key}, gradient norm of step ${step}`).toBeLessThan(5e-3);
      }
      await engine.dispose();
    }
  },
);
