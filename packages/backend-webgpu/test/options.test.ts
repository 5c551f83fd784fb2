import { webgpu } from '@sentvec/backend-webgpu';
import { expect, it } from 'vitest';

it.each([{ sessions: 2 }, { threads: 0 }, { batchTokens: 1.5 }, { device: {}, preferWasm: true }])(
  'refuses the options %o',
  (options) => {
    const refusal = { code: 'invalid-argument', message: expect.stringContaining(Object.keys(options).at(-1)!) };
    expect(() => webgpu(options as object)).toThrow(expect.objectContaining(refusal));
  },
);
