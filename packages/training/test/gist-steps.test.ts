// Compares training steps of a whole model with GISTEmbedLoss, with and without cached gradients, with those of
// sentence-transformers.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { goldenModel, goldenPath } from '@sentvec/testing';
import { gistEmbedLoss, makeBatch, recordGraphs, trainableTensors } from '@sentvec/training';
import { loadTrainable, onnxEngine } from '@sentvec/training/node';

interface GoldenStep {
  readonly loss: string;
  readonly params: { readonly temperature: number; readonly mini_batch_size?: number };
  readonly value: number;
  readonly gradient_norms: Readonly<Record<string, number>>;
}

const golden = JSON.parse(readFileSync(goldenPath('gist-steps.json'), 'utf8')) as {
  readonly model: string;
  readonly anchors: readonly string[];
  readonly positives: readonly string[];
  readonly cases: readonly GoldenStep[];
};

describe.each(golden.cases.map((one) => [one.loss, one] as const))(
  '%s',
  (_name, { params, value, gradient_norms: norms }) => {
    it('has the loss and the gradient norms of sentence-transformers', async () => {
      const { model, reader, dimension } = await loadTrainable(goldenModel(golden.model));
      const tensors = trainableTensors(model);
      const graphs = recordGraphs(model, dimension, {
        objectives: [
          { loss: gistEmbedLoss({ temperature: params.temperature }), columns: 2, labelWidth: 2 * dimension },
        ],
        trained: new Set(tensors.map(({ name }) => name)),
        dropout: false,
        cachedExamples: params.mini_batch_size,
        optimizer: { clipNorm: Infinity },
      });
      const engine = onnxEngine(graphs, { threads: 1 });
      const texts = [];
      for (const column of [golden.anchors, golden.positives])
        texts.push({ texts: await reader.tokenizer.encode(column, reader) });
      // The model itself is the guide model.
      const [anchors, positives] = [
        await engine.embed(makeBatch([texts[0]!])),
        await engine.embed(makeBatch([texts[1]!])),
      ];
      const guide = golden.anchors.flatMap((_, row) =>
        [anchors, positives].flatMap(({ data }) => [...data.subarray(row * dimension, (row + 1) * dimension)]),
      );
      const batch = makeBatch(texts, Float32Array.from(guide));
      const { loss } = await engine.step({ batches: [batch], learningRate: 0 });
      expect(loss).toBeCloseTo(value, 4);
      const { firstMoments } = await engine.state();
      let offset = 0;
      for (const { name, data } of tensors) {
        const moments = firstMoments.subarray(offset, offset + data.length);
        offset += Math.ceil(data.length / 4) * 4;
        const stored = Object.keys(norms).find((each) => each.endsWith(`.${name}`));
        // After one step, the first moment is a tenth of the gradient.
        const norm = 10 * Math.hypot(...Array.from(moments));
        expect.soft(Math.abs(norm - norms[stored!]!), name).toBeLessThan(2e-4 * norms[stored!]! + 1e-5);
      }
      await Promise.all([engine.dispose(), reader.tokenizer.dispose()]);
    });
  },
);
