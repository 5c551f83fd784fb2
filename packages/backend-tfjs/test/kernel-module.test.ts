import loadWabt from 'wabt';
import { expect, it } from 'vitest';
import { moduleText } from '../kernels/module.ts';

it('the kernels are compiled from kernels/ (`vitest -u` compiles them again)', async () => {
  const wabt = await loadWabt();
  const { buffer } = wabt.parseWat('kernels.wat', moduleText, { simd: true }).toBinary({});
  const source = `// Made from kernels/ by test/kernel-module.test.ts.

/** The WebAssembly module of {@link KernelModule}, in base64. */
export const kernelModuleBinary: string =
  '${Buffer.from(buffer).toString('base64')}';
`;
  await expect(source).toMatchFileSnapshot('../src/kernels/kernel-module-binary.ts');
});
