import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { locatePackageFile, resolveInstalled } from '@sentvec/platform/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let folder: string;
const entry = '@scope/package/worker';

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sentvec-installed-')));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function put(path: string, content = ''): Promise<string> {
  await mkdir(join(folder, path, '..'), { recursive: true });
  await writeFile(join(folder, path), content);
  return pathToFileURL(join(folder, path)).href;
}

async function install(): Promise<string> {
  const exports = { './worker': { default: './dist/worker.js' } };
  await put('node_modules/@scope/package/package.json', JSON.stringify({ name: '@scope/package', exports }));
  return put('node_modules/@scope/package/dist/worker.js');
}

describe('a file of a package', () => {
  it.each(['worker.js', 'worker.mjs'])('is %s beside the file that names it, when there is one', async (name) => {
    const beside = await put(`bundle/${name}`);
    await install();
    const from = await put('bundle/program.js');
    expect(locatePackageFile({ file: './worker.js', entry, from }).href).toBe(beside);
  });

  it('else is where the package is installed, also for a bundle that is gone from where it was made', async () => {
    const installed = await install();
    const from = pathToFileURL(join(folder, 'gone/bundle/program.js')).href;
    expect(locatePackageFile({ file: './worker.js', entry, from }).href).toBe(installed);
  });

  it('else is an error that names the line of configuration', async () => {
    const from = await put('bundle/program.js');
    const locate = (): URL => locatePackageFile({ file: './worker.js', entry, from });
    expect(locate).toThrow(expect.objectContaining({ code: 'bundled', details: { file: from, entry } }));
    expect(locate).toThrow(/esbuild --external:@sentvec\/\*/u);
    // CommonJS has no import.meta.url, and webpack may give another scheme.
    for (const other of [undefined, 'webpack://program.js'])
      expect(() => locatePackageFile({ file: './worker.js', entry, from: other })).toThrow(/bundle/u);
  });
});

it('an installed module is found from a file, else from the working folder', async () => {
  const from = await put('bundle/program.js');
  expect(resolveInstalled('@scope/package/worker', from)).toBeUndefined();
  await install();
  expect(resolveInstalled('@scope/package/worker', from)).toBe(
    join(folder, 'node_modules/@scope/package/dist/worker.js'),
  );
  expect(resolveInstalled('vitest', undefined)).toContain('vitest');
});
