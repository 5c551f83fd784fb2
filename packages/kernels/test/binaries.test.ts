import { expect, it } from 'vitest';
import loadWabt from 'wabt';
import { modules } from '../text/modules.ts';

it('src/binaries.ts is compiled from text/ (`vitest run -u` compiles it again)', async () => {
  const wabt = await loadWabt();
  const constants = Object.entries(modules).map(([name, text]) => {
    const { buffer } = wabt.parseWat(`${name}.wat`, text, { simd: true, relaxed_simd: true }).toBinary({});
    return `export const ${name}: string =\n  '${Buffer.from(buffer).toString('base64')}';\n`;
  });
  const source = `// Made from text/ by test/binaries.test.ts: WebAssembly modules in base64.\n\n${constants.join('\n')}`;
  await expect(source).toMatchFileSnapshot('../src/binaries.ts');
});
