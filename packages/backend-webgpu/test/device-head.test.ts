import {
  applyProjections,
  createPooling,
  definePooling,
  poolingModes,
  type Head,
  type Matrix,
  type Projection,
} from '@sentvec/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bufferUsage, DeviceHeads } from '../src/head/device-head.ts';
import { softwareDevice } from './software-gpu.ts';

let software: Awaited<ReturnType<typeof softwareDevice>>;
let heads: DeviceHeads;

beforeAll(async () => {
  software = await softwareDevice();
  heads = new DeviceHeads(software.device);
});

afterAll(() => {
  heads?.dispose();
  software?.device.destroy();
});

let seed = 1;

/** Numbers between -1 and 1, the same at each run. */
function numbers(count: number): Float32Array {
  return Float32Array.from({ length: count }, () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return (seed / 2_147_483_647) * 2 - 1;
  });
}

const matrix = (rows: number, cols: number): Matrix => ({ data: numbers(rows * cols), rows, cols });

const hiddenSize = 24;
/** Full, padded on the right, on the left, with a hole, with one token, with none. */
const masks = ['1111111', '1110000', '0001111', '1101011', '0001000', '0000000'];
const batch = {
  rows: masks.length,
  cols: 7,
  ids: new Int32Array(masks.length * 7),
  mask: Int32Array.from(masks.join(''), Number),
};

/** The same head on the host and on the device, which gets the tokens in a buffer that is too long. */
async function both(head: Head): Promise<{ host: Matrix; device: Matrix }> {
  const tokens = matrix(batch.rows * batch.cols, hiddenSize);
  const host = applyProjections(head.projections, head.pooling.pool(tokens, batch));
  const size = tokens.data.byteLength + 4096;
  const buffer = software.device.createBuffer({ size, usage: bufferUsage.storage | bufferUsage.copyDestination });
  software.device.queue.writeBuffer(buffer, 0, tokens.data);
  const finish = heads.get(head, hiddenSize)!.submit({ buffer, rows: batch.rows, cols: batch.cols }, batch.mask);
  buffer.destroy();
  return { host, device: await finish() };
}

/** The largest difference between host and device; infinite when their sizes differ. */
async function difference(head: Head): Promise<number> {
  const { host, device } = await both(head);
  if (device.rows !== host.rows || device.cols !== host.cols || device.data.length !== host.data.length)
    return Infinity;
  return host.data.reduce((worst, value, index) => Math.max(worst, Math.abs(device.data[index]! - value)), 0);
}

describe('poolings on the device', () => {
  it.each([...poolingModes.map((mode) => [mode]), ['cls', 'max', 'mean'], ['lasttoken', 'weightedmean']])(
    '%s %s %s',
    async (...modes) => {
      expect(
        await difference({
          pooling: createPooling(modes.filter((mode) => mode !== undefined) as typeof poolingModes),
          projections: [],
        }),
      ).toBeLessThan(1e-6);
    },
  );
});

describe('projections on the device', () => {
  const pooling = createPooling('mean');
  const dense = (activation: Extract<Projection, { kind: 'dense' }>['activation'], bias = true): Projection => ({
    kind: 'dense',
    weight: matrix(40, hiddenSize),
    ...(bias && { bias: numbers(40) }),
    activation,
  });
  it.each(['Identity', 'Tanh', 'ReLU', 'ReLU6', 'Sigmoid', 'SiLU', 'LeakyReLU', 'Hardtanh', 'Softsign'] as const)(
    'dense %s',
    async (activation) => {
      expect(await difference({ pooling, projections: [dense(activation)] })).toBeLessThan(1e-6);
    },
  );
  it('dense without a bias, then layer norm, truncate and normalize', async () => {
    const layerNorm = { kind: 'layer-norm', weight: numbers(40), bias: numbers(40), epsilon: 1e-5 } as const;
    expect(
      await difference({
        pooling,
        projections: [dense('Tanh', false), layerNorm, { kind: 'truncate', size: 16 }, { kind: 'normalize' }],
      }),
    ).toBeLessThan(1e-6);
  });
  it('normalize leaves zeros as they are', async () => {
    const { device } = await both({ pooling, projections: [{ kind: 'normalize' }] });
    expect([...device.data.subarray(-hiddenSize)]).toEqual(Array.from({ length: hiddenSize }, () => 0));
  });
});

describe('what is left to the host', () => {
  it('a custom pooling', () => {
    const plugin = definePooling({
      name: 'first-two',
      create: () => ({ outputSize: (size: number) => size, pool: (tokens: Matrix) => tokens }),
    });
    expect(heads.get({ pooling: plugin.create({}), projections: [] }, hiddenSize)).toBeUndefined();
  });
  it('a rare activation, and a residual', () => {
    const weight = matrix(hiddenSize, hiddenSize);
    for (const projection of [
      { kind: 'dense', weight, activation: 'Mish' },
      { kind: 'dense', weight, activation: 'Tanh', residual: true },
    ] as const) {
      expect(heads.get({ pooling: createPooling('mean'), projections: [projection] }, hiddenSize)).toBeUndefined();
    }
  });
});
