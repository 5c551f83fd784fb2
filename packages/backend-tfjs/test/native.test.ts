import { rm } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { backendContract } from '@sentvec/testing';
import { makeNativeProject, reasonWithoutNative } from './native-project.ts';

describe.skipIf(reasonWithoutNative !== undefined)(
  `tfjs-node-gpu${reasonWithoutNative === undefined ? '' : ` (skipped: ${reasonWithoutNative})`}`,
  async () => {
    if (reasonWithoutNative !== undefined) {
      console.warn(`Skipped for tfjs-node-gpu: ${reasonWithoutNative}`);
      return;
    }
    const { folder, entry } = await makeNativeProject();
    afterAll(() => rm(folder, { recursive: true, force: true }));
    const { tfjs } = (await import(entry.href)) as typeof import('@sentvec/backend-tfjs');

    it('is what is chosen where its native half is there, and says what it runs on', async () => {
      const availability = await tfjs().isAvailable();
      expect(availability).toEqual({
        available: true,
        device: 'TensorFlow.js 4.22.0, tfjs-node-gpu with libtensorflow 1.15.0 on the CPU',
      });
    });

    backendContract(tfjs({ device: 'tfjs-node-gpu' }), { tolerance: 1e-5 });
  },
);
