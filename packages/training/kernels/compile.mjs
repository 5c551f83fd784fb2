// Compiles adamw.wat into a module that carries the bytes: `node kernels/compile.mjs`. A test checks that it was run.
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const source = new URL('./adamw.wat', import.meta.url);
const target = new URL('../src/optimizer/kernel-bytes.ts', import.meta.url);

/** The text of `kernel-bytes.ts`. */
export async function compile() {
  const assembler = await wabt();
  const module = assembler.parseWat('adamw.wat', readFileSync(source, 'utf8'), { simd: true });
  const bytes = Buffer.from(module.toBinary({}).buffer).toString('base64');
  return `/** kernels/adamw.wat, compiled by kernels/compile.mjs: WebAssembly with SIMD, base64. */\nexport const kernelBytes: string =\n  '${bytes}';\n`;
}

if (process.argv[1]?.endsWith('compile.mjs')) writeFileSync(target, await compile());
