import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { glob } from 'tinyglobby';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const docs = join(root, 'apps/docs');

/** Paths of all READMEs of the project and all pages of the guide. */
const pages = ['README.md', 'CONTRIBUTING.md', '{apps,bench,docs,examples,packages}/**/*.md'];

/** Returns the TypeScript examples of a page. */
function examplesOf(markdown: string): string[] {
  return [...markdown.matchAll(/^```ts\n(.*?)^```$/gmsu)].map(([, code]) => code!);
}

it('every example of the guide and of the READMEs is a program that compiles against the packages', async () => {
  // The folder is inside the package, so that imports resolve to its dependencies.
  await mkdir(join(docs, '.vitepress/cache'), { recursive: true });
  const folder = await mkdtemp(join(docs, '.vitepress/cache/examples-'));
  try {
    let count = 0;
    const ignore = ['**/node_modules', '**/dist', 'apps/docs/reference', '**/goldens'];
    for (const page of await glob(pages, { cwd: root, ignore })) {
      for (const [index, code] of examplesOf(await readFile(join(root, page), 'utf8')).entries()) {
        const name = page.replace('.md', '').replaceAll('/', '_');
        await writeFile(join(folder, `${name}-${index + 1}.ts`), `${code}\nexport {};\n`);
        count += 1;
      }
    }
    expect(count).toBeGreaterThan(20);
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        extends: '../../../../../tsconfig.base.json',
        compilerOptions: compilerOptions,
        include: ['*.ts'],
      }),
    );
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const compiled = await promisify(execFile)(process.execPath, [tsc, '-p', folder]).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      ({ code, stdout, stderr }: { code: unknown; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
    );
    expect(compiled).toEqual({ code: 0, stdout: '', stderr: '' });
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
  lib: ['ES2023', 'DOM'],
  types: ['node'],
};
