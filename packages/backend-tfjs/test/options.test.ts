import { tfjs } from '@sentvec/backend-tfjs';
import { expect, it } from 'vitest';

it.each([{ threads: 2 }, { device: 'tpu' }, { batchTokens: 0 }])('refuses the options %o', (options) => {
  const refusal = { code: 'invalid-argument', message: expect.stringContaining(Object.keys(options)[0]!) };
  expect(() => tfjs(options as object)).toThrow(expect.objectContaining(refusal));
});
