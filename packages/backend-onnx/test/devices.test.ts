import { onnx, type OnnxOptions } from '@sentvec/backend-onnx';
import { memoryModel, SentvecError } from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { devicesToTry } from '../src/devices.ts';
import { onnxModel } from './onnx-models.ts';

const model = memoryModel('a-model', { 'onnx/model.onnx': onnxModel() });
/** A device that onnxruntime-node does not have on this platform. */
const absent = process.platform === 'darwin' ? 'dml' : 'coreml';
const withoutCuda = devicesToTry().length === 1;

async function refusal(options: OnnxOptions): Promise<SentvecError> {
  const error: unknown = await onnx({ sessions: 1, ...options })
    .load(model)
    .catch((thrown: unknown) => thrown);
  if (!SentvecError.is(error)) throw new Error('The device was not refused.', { cause: error });
  return error;
}

describe('a device that is not there', () => {
  it('is an error when it is asked for by name', async () => {
    const error = await refusal({ device: absent });
    expect(error.code).toBe('backend-unavailable');
    expect(error.message).toContain(absent);
    expect(await onnx({ device: absent }).isAvailable()).toEqual({
      available: false,
      reason: expect.stringContaining(absent),
    });
  });

  it('is a warning when another one may take its place', async () => {
    const warnings: string[] = [];
    const encoder = await onnx({ sessions: 1, device: [absent, 'cpu'] }).load(model, {
      onWarning: (message) => warnings.push(message),
    });
    await encoder.dispose();
    expect(warnings).toEqual([expect.stringMatching(new RegExp(`${absent}.*Falling back to cpu`, 'u'))]);
    expect(await onnx({ device: [absent, 'cpu'] }).isAvailable()).toEqual({
      available: true,
      device: expect.stringMatching(/^cpu, onnxruntime 1\./u),
    });
  });

  it.skipIf(!withoutCuda || process.platform !== 'linux')(
    'says how to get CUDA (skipped where it is installed, or cannot be)',
    async () => {
      const error = await refusal({ device: 'cuda' });
      expect(error.code).toBe('backend-unavailable');
      expect(error.message).toContain('with its install script');
    },
  );

  it('is passed over in silence when none is asked for', async () => {
    const warnings: string[] = [];
    const encoder = await onnx({ sessions: 1 }).load(model, { onWarning: (message) => warnings.push(message) });
    await encoder.dispose();
    expect(warnings).toEqual([]);
  });
});

it.each([
  { sessions: 0 },
  { threadsPerSession: 1.5 },
  { memoryBudget: -1 },
  { batchTokens: NaN },
  { device: 'tpu' },
  { device: [] },
  { threads: 2 },
])('refuses the options %o', (options) => {
  const make = (): unknown => onnx(options as OnnxOptions);
  expect(make).toThrow(
    expect.objectContaining({ code: 'invalid-argument', message: expect.stringContaining(Object.keys(options)[0]!) }),
  );
});
