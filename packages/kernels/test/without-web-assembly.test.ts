import { afterEach, expect, it, vi } from 'vitest';
import { bestScores, optimizerKernels, portableScores, webAssemblyScores } from '@sentvec/kernels';

afterEach(() => void vi.unstubAllGlobals());

it('scores are computed in TypeScript where there is no WebAssembly, or it may not be compiled', () => {
  vi.stubGlobal('WebAssembly', undefined);
  expect(webAssemblyScores()).toBeUndefined();
  expect(() => optimizerKernels({ buffer: new ArrayBuffer(8) })).toThrow(/no WebAssembly/u);
  const refuse = function () {
    throw new Error('refused by a content security policy');
  };
  vi.stubGlobal('WebAssembly', { validate: () => true, Module: refuse });
  expect(webAssemblyScores()).toBeUndefined();
  expect(bestScores()).toBe(portableScores);
});
