// Compares late-interaction losses with the values and gradients of sentence-transformers.
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { gradients, OnnxRecorder, plainOperations, plainTensor } from '@sentvec/architectures';
import { goldenPath } from '@sentvec/testing';
import {
  multiVectorDistillKlDivLoss,
  multiVectorMarginMseLoss,
  multiVectorMultipleNegativesRankingLoss,
  type MultiVectorLoss,
} from '@sentvec/training';
import { difference, flat } from './golden-losses.ts';

type Matrices = readonly (readonly (readonly number[])[])[];

interface GoldenTokenLoss {
  readonly name: string;
  readonly loss: string;
  readonly params: { readonly scale?: number };
  readonly columns: readonly string[];
  /** Indexed by column and example, with one row per token. */
  readonly token_embeddings: readonly Matrices[];
  readonly masks: readonly (readonly (readonly number[])[])[];
  readonly labels: readonly (number | readonly number[])[] | null;
  readonly value: number;
  readonly gradients: readonly Matrices[];
}

const { cases } = JSON.parse(readFileSync(goldenPath('multi-vector-losses.json'), 'utf8')) as {
  cases: GoldenTokenLoss[];
};

const losses: Readonly<Record<string, (params: GoldenTokenLoss['params']) => MultiVectorLoss>> = {
  MultiVectorMultipleNegativesRankingLoss: multiVectorMultipleNegativesRankingLoss,
  MultiVectorDistillKLDivLoss: () => multiVectorDistillKlDivLoss(),
  MultiVectorMarginMSELoss: () => multiVectorMarginMseLoss(),
};

describe.each(cases.map((golden) => [golden.name, golden] as const))('%s', (_, golden) => {
  const loss = losses[golden.loss]!(golden.params);
  const shapes = golden.token_embeddings.map((column) => [column.length, column[0]!.length, column[0]![0]!.length]);
  const vectors = golden.token_embeddings.map((column) => Float32Array.from(column.flat(2)));
  const labelShape = golden.labels && [golden.labels.length, flat(golden.labels).length / golden.labels.length];
  const expected = golden.gradients.map((column) => Float32Array.from(column.flat(2)));

  it('has the value and gradients of sentence-transformers on the plain interpreter', () => {
    const labels = golden.labels && plainTensor(flat(golden.labels), labelShape!);
    const result = gradients(
      plainOperations,
      (ops, tracked, fixed) => {
        const masks = golden.masks.map((mask, i) => fixed(plainTensor(flat(mask), shapes[i]!.slice(0, 2))));
        const columns = tracked.map((each, i) => ({ vectors: each, mask: masks[i]! }));
        return loss.compute(ops, columns, labels ? fixed(labels) : undefined);
      },
      vectors.map((numbers, i) => plainTensor(numbers, shapes[i]!)),
    );
    expect(result.value.data[0]).toBeCloseTo(golden.value, 5);
    for (const [i, gradient] of result.gradients.entries())
      expect(difference(gradient.data, expected[i]!)).toBeLessThan(1e-4);
  });

  it('has the value and gradients of sentence-transformers as a graph on onnxruntime', async () => {
    const recorder = new OnnxRecorder();
    const input = (name: string, size: readonly number[]) => recorder.input(name, 'float', size);
    const labels = labelShape ? input('labels', labelShape) : undefined;
    const masks = golden.columns.map((name, i) => input(`mask ${name}`, shapes[i]!.slice(0, 2)));
    const recorded = gradients(
      recorder.operations,
      (ops, tracked, fixed) => {
        const columns = tracked.map((each, i) => ({ vectors: each, mask: fixed(masks[i]!) }));
        return loss.compute(ops, columns, labels ? fixed(labels) : undefined);
      },
      golden.columns.map((name, i) => input(name, shapes[i]!)),
    );
    recorder.output('loss', recorded.value);
    for (const [i, gradient] of recorded.gradients.entries())
      recorder.output(`gradient ${golden.columns[i]}`, gradient);
    const session = await InferenceSession.create(recorder.encode());
    const feeds: Record<string, Tensor> = {};
    for (const [i, name] of golden.columns.entries()) {
      feeds[name] = new Tensor('float32', vectors[i]!, shapes[i]);
      feeds[`mask ${name}`] = new Tensor('float32', flat(golden.masks[i]!), shapes[i]!.slice(0, 2));
    }
    if (golden.labels) feeds['labels'] = new Tensor('float32', flat(golden.labels), labelShape!);
    const results = await session.run(feeds);
    expect((results['loss']!.data as Float32Array)[0]).toBeCloseTo(golden.value, 5);
    for (const [i, name] of golden.columns.entries())
      expect(difference(results[`gradient ${name}`]!.data as Float32Array, expected[i]!)).toBeLessThan(1e-4);
    await session.release();
  });
});
