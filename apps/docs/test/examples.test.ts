import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const docs = fileURLToPath(new URL('..', import.meta.url));
const guide = join(docs, 'guide');

/** The TypeScript examples of a page. */
function examplesOf(markdown: string): string[] {
  return [...markdown.matchAll(/^```ts\n(.*?)^```$/gmsu)].map(([, code]) => code!);
}

it('every example of the guide compiles against the packages', async () => {
  // Within the package, so that imports find what it depends on.
  await mkdir(join(docs, '.vitepress/cache'), { recursive: true });
  const folder = await mkdtemp(join(docs, '.vitepress/cache/examples-'));
  try {
    let count = 0;
    for (const page of (await readdir(guide)).filter((name) => name.endsWith('.md'))) {
      for (const [place, code] of examplesOf(await readFile(join(guide, page), 'utf8')).entries()) {
        await writeFile(join(folder, `${page.replace('.md', '')}-${place + 1}.ts`), `${code}\nexport {};\n`);
        count += 1;
      }
    }
    expect(count).toBeGreaterThan(10);
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        extends: '../../../../../tsconfig.base.json',
        compilerOptions: compilerOptions,
        include: ['*.ts'],
      }),
    );
    const tsc = join(docs, '../../node_modules/typescript/bin/tsc');
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe('');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

const compilerOptions = {
  noEmit: true,
  composite: false,
  incremental: false,
  declaration: false,
  declarationMap: false,
  isolatedDeclarations: false,
  noUnusedLocals: false,
  types: ['node'],
};
