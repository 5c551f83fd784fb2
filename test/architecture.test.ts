// docs/architecture.md says what the code is, and the pages of decisions are numbered without a gap.
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { glob } from 'tinyglobby';
import { expect, it } from 'vitest';
import { root, run } from './packages.ts';

const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8');

it('the picture of the architecture is what the imports say', async () => {
  const drawn = await run(process.execPath, ['scripts/draw-architecture.mjs'], root);
  expect(await read('docs/architecture.svg'), 'node scripts/draw-architecture.mjs > docs/architecture.svg').toBe(drawn);
});

it('the page of architectures is what the registry and the golden models say', async () => {
  const page = await run(process.execPath, ['scripts/list-architectures.mjs'], root);
  expect(await read('docs/architectures.md'), 'node scripts/list-architectures.mjs > docs/architectures.md').toBe(page);
});

it('each file that the architecture lists exists, and has the functions that are listed after it', async () => {
  const page = await read('docs/architecture.md');
  const listed = [...page.matchAll(/\[`(packages\/[^`]+\.ts)`\]\(\.\.\/([^)]+)\)((?:,?\s*`\w+`)*)/gu)];
  expect(listed.length).toBeGreaterThan(25);
  for (const [, name, path, functions] of listed) {
    expect(path).toBe(name);
    const source = await read(path!);
    for (const [, functionName] of functions!.matchAll(/`(\w+)`/gu))
      expect(source, `${path} has ${functionName}`).toMatch(new RegExp(`\\b${functionName}\\b`, 'u'));
  }
});

it('each package has a line in the architecture, and each path in it exists', async () => {
  const page = await read('docs/architecture.md');
  const described = page.slice(page.indexOf('## Packages'), page.indexOf('## How `embed(texts)` works'));
  const names = [...(await readdir(join(root, 'packages'))), 'worker'];
  for (const name of names) expect(described).toContain(`\`${name}\``);
  for (const [, path] of page.matchAll(/`((?:packages|apps)\/[^`]+)`/gu))
    expect(existsSync(join(root, path!)), `${path} exists`).toBe(true);
});

it('each file and folder that a README of a package names is there', async () => {
  for (const readme of await glob('{packages,apps}/*/README.md', { cwd: root })) {
    const folder = dirname(readme);
    const prose = (await read(readme)).replaceAll(/^```.*?^```/gmsu, '');
    for (const [, path] of prose.matchAll(/`([\w./-]+(?:\.m?ts|\/))`/gu)) {
      const isThere = path!.includes('NAME') || ['', 'src'].some((part) => existsSync(join(root, folder, part, path!)));
      expect(isThere, `${readme} names ${path}`).toBe(true);
    }
  }
});

it('the pages of decisions are numbered from 1 without a gap, and links between them lead to pages', async () => {
  const pages = (await readdir(join(root, 'docs/adr'))).toSorted();
  for (const [index, page] of pages.entries()) {
    expect(page.slice(0, 5)).toBe(`${String(index + 1).padStart(4, '0')}-`);
    const text = await read(`docs/adr/${page}`);
    expect(text.startsWith(`# ${index + 1}. `), `${page} begins with its number`).toBe(true);
    for (const [, target] of text.matchAll(/\]\((\d{4}-[^)#]+)/gu)) expect(pages).toContain(target);
  }
});
