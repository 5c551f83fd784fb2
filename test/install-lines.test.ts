import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { glob } from 'tinyglobby';
import { expect, it } from 'vitest';
import { root } from './packages.ts';

/** Lines between an install command and the words on its switch, at most. */
const near = 25;

it('every page that installs onnxruntime-node with npm says near it how to leave CUDA out', async () => {
  const pages = await glob(['*.md', '{apps,bench,docs,examples,packages}/**/*.md'], {
    cwd: root,
    ignore: ['**/node_modules', '**/dist', '**/goldens', '**/CHANGELOG.md', 'apps/docs/reference'],
  });
  let found = 0;
  const silent: string[] = [];
  for (const page of pages) {
    const lines = (await readFile(join(root, page), 'utf8')).split('\n');
    for (const [index, line] of lines.entries()) {
      // The command depends on the backend, and so does the worker.
      if (!/\bnpm (?:i|install|add)\b.*@sentvec\/(?:backend-onnx|cli|worker)\b/u.test(line)) continue;
      found += 1;
      const around = lines.slice(Math.max(0, index - near), index + near + 1);
      if (!around.some((each) => each.includes('ONNXRUNTIME_NODE_INSTALL=skip'))) silent.push(`${page}:${index + 1}`);
    }
  }
  expect(found).toBeGreaterThanOrEqual(5);
  expect(silent).toEqual([]);
});
