import loadWabt from 'wabt';
import { expect, it } from 'vitest';
import { moduleText, relaxedModuleText } from '../kernels/module.ts';

it('the kernels are compiled from kernels/ (`vitest -u` compiles them again)', async () => {
  const wabt = await loadWabt();
  const compile = (text: string): string => {
    const { buffer } = wabt.parseWat('kernels.wat', text, { simd: true, relaxed_simd: true }).toBinary({});
    return Buffer.from(buffer).toString('base64');
  };
  const source = `// Made from kernels/ by test/kernel-module.test.ts.

/** The WebAssembly module of {@link KernelModule}, in base64. */
export const kernelModuleBinary: string =
  '${compile(moduleText)}';

/** The same for engines with relaxed SIMD. */
export const relaxedKernelModuleBinary: string =
  '${compile(relaxedModuleText)}';
`;
  await expect(source).toMatchFileSnapshot('../src/kernels/kernel-module-binary.ts');
});
