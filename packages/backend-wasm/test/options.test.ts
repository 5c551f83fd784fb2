import { wasm } from '@sentvec/backend-wasm';
import { expect, it } from 'vitest';

it.each([{ threads: 2 }, { batchTokens: 0 }])('refuses the options %o', (options) => {
  const refusal = { code: 'invalid-argument', message: expect.stringContaining(Object.keys(options)[0]!) };
  expect(() => wasm(options as object)).toThrow(expect.objectContaining(refusal));
});
