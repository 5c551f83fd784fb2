// Training devices: each device that this machine has computes the same losses as the CPU, and the others cause a clear
// error.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseTrainingConfig } from '@sentvec/training/node';
import { errorOf, TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();
const config = (device: string) =>
  place.config(device, {
    device,
    threads: undefined,
    lora: { targets: ['query'] },
    evaluation: undefined,
    maxSteps: 3,
  });

async function lossesOf(device: string): Promise<number[]> {
  const lines = (await readFile(place.file(`${device}/history.jsonl`), 'utf8')).trim().split('\n');
  return lines.map((line) => (JSON.parse(line) as { loss: number }).loss);
}

/**
 * Runs WebGPU on the software adapter of Chromium, in a new process because the adapter is selected by environment
 * variables.
 */
async function runOnWebGpu(): Promise<void> {
  const drivers = ['/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/lib/chromium-browser/vk_swiftshader_icd.json'];
  const driver = process.env['VK_ICD_FILENAMES'] ?? drivers.find((path) => existsSync(path)) ?? '';
  await place.write('webgpu.json', JSON.stringify(config('webgpu')));
  const script = fileURLToPath(new URL('run-training.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, place.file('webgpu.json')], {
    env: { ...process.env, VK_ICD_FILENAMES: driver },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  expect(await once(child, 'exit')).toEqual([0, null]);
}

test('TensorFlow.js and WebGPU compute the same losses as the CPU', async () => {
  await place.run(config('cpu'));
  await place.run(config('wasm'));
  await runOnWebGpu();
  const expected = await lossesOf('cpu');
  expect(expected).toHaveLength(3);
  for (const device of ['wasm', 'webgpu'])
    for (const [step, loss] of (await lossesOf(device)).entries())
      expect(Math.abs(loss / expected[step]! - 1), `${device}, step ${step}`).toBeLessThan(1e-3);
});

test('an unavailable device is refused with a message that describes the fix', async () => {
  expect(await errorOf(() => place.run(config('dml')))).toMatchObject({
    code: 'backend-unavailable',
    message: expect.stringMatching(/onnxruntime-node does not support dml on .*it supports cpu/s),
  });
  expect(await errorOf(() => place.run(config('tfjs-node')))).toMatchObject({
    code: 'backend-unavailable',
    message: expect.stringMatching(/tfjs-node is not installed\. Install the missing packages/),
  });
  const threaded = { ...config('webgpu'), threads: 2 };
  expect(() => parseTrainingConfig(threaded, 'config.json')).toThrow(
    /"threads" applies to the device cpu, not to webgpu/,
  );
  expect(() => parseTrainingConfig(config('tpu'), 'config.json')).toThrow(/device: expected/);
});
