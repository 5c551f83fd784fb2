import { describe, expect, it } from 'vitest';
import { encoderNetwork, plainIndices, plainOperations, plainTensor } from '@sentvec/architectures';
import { makeNetwork } from '../src/encoders/architecture.ts';
import { tinyConfigs } from './models.ts';

describe('an encoder network', () => {
  it('has the weights and shapes of its configuration', async () => {
    const { weights, tokenTable, hiddenSize, vocabularySize } = await encoderNetwork(tinyConfigs['bert']!);
    expect({ tokenTable, hiddenSize, vocabularySize }).toEqual({
      tokenTable: 'embeddings.word_embeddings.weight',
      hiddenSize: 6,
      vocabularySize: 11,
    });
    expect(weights.size).toBe(5 + 2 * 16);
    expect(weights.get('encoder.layer.1.output.dense.weight')).toEqual({ shape: [6, 5], otherNames: [], fixed: false });
    expect(weights.get('embeddings.LayerNorm.bias')?.otherNames).toEqual(['embeddings.LayerNorm.beta']);
  });

  it('computes its tables once, with the first batch, so that an oversized configuration does not exhaust the memory', () => {
    const computed: number[] = [];
    const network = makeNetwork({
      maxPositions: Infinity,
      vocabularySize: 3,
      tokenTable: 'table',
      encode(layers) {
        const table = layers.constant('table', [2], () => {
          computed.push(2);
          return Float32Array.of(10, 20);
        });
        return layers.ops.add(layers.tokenRows(2), table);
      },
    });
    expect(network.hiddenSize).toBe(2);
    expect(computed).toEqual([]);
    const inputs = { ids: plainIndices([2, 0], [1, 2]), mask: plainIndices([1, 1], [1, 2]) };
    const { data } = network.encode(plainOperations, () => plainTensor([1, 2, 3, 4, 5, 6], [3, 2]), inputs);
    expect([...data]).toEqual([15, 26, 11, 22]);
    network.encode(plainOperations, () => plainTensor([1, 2, 3, 4, 5, 6], [3, 2]), inputs);
    expect(computed).toEqual([2]);
  });
});
