// Compares the inputs of layers that `onLayer` receives with the hidden states of transformers.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readModelFolder } from '@sentvec/core';
import { goldenExpectation, goldenModel, goldenPath } from '@sentvec/testing';
import {
  constantWeights,
  encode,
  plainIndices,
  plainOperations,
  type PlainTensor,
  readEncoder,
} from '@sentvec/architectures';

/** A checksum of all entries: their Euclidean norm, and their dot product with cos(0), cos(1), cos(2) … */
type Sums = readonly [norm: number, product: number];

const golden = JSON.parse(readFileSync(goldenPath('hidden-states.json'), 'utf8')) as Readonly<
  Record<string, { readonly row: number; readonly layers: readonly Sums[] }>
>;

it.each(Object.entries(golden))(
  'the layer inputs of %s are the hidden states of transformers',
  async (name, { row, layers }) => {
    const { encoderFiles } = await readModelFolder(goldenModel(name));
    const definition = await readEncoder(encoderFiles);
    const { ids } = goldenExpectation(name).cases[row]!;
    const found: PlainTensor[] = [];
    encode(plainOperations, definition, constantWeights(plainOperations, definition), {
      ids: plainIndices(ids, [1, ids.length]),
      mask: plainIndices(
        ids.map(() => 1),
        [1, ids.length],
      ),
      onLayer: (input) => void found.push(input),
    });
    expect(definition.network.layers).toBe(layers.length);
    expect(found).toHaveLength(layers.length);
    for (const [index, { data }] of found.entries()) {
      const entries = Array.from(data);
      const norm = Math.hypot(...entries);
      const product = entries.reduce((sum, entry, i) => sum + entry * Math.cos(i), 0);
      const [expectedNorm, expectedProduct] = layers[index]!;
      expect.soft(Math.abs(norm - expectedNorm), `norm of layer ${index}`).toBeLessThan(1e-4 * expectedNorm);
      expect.soft(Math.abs(product - expectedProduct), `layer ${index}`).toBeLessThan(1e-4 * expectedNorm);
    }
  },
);
