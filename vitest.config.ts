import { existsSync, readdirSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

// Tests that call onnxruntime-node directly do not report usage to Microsoft either.
process.env['ORT_DISABLE_TELEMETRY'] ??= '1';

/** Packages whose tests run the code in their own process, where it can be counted: coverage has its floor there. */
const counted = ['core', 'architectures', 'corpus', 'workflow'];

/**
 * One project per package that has tests, and `workspace` for what concerns them all. Packages are tested as they are
 * shipped: from `dist`, by their name.
 */
const projects = ['packages', 'apps']
  .filter((parent) => existsSync(parent))
  .flatMap((parent) => readdirSync(parent).map((name) => ({ name, root: `${parent}/${name}` })))
  .filter(({ root }) => existsSync(`${root}/test`))
  .concat({ name: 'workspace', root: '.' })
  .map(({ name, root }) => ({
    test: {
      name,
      root,
      include: ['test/**/*.test.ts'],
      // What is built needs no transforming: Node loads it, as users' programs do. Only what is counted goes through Vite.
      server: { deps: { external: counted.includes(name) ? [] : [/\/(?:packages|apps)\/[^/]+\/dist\//u] } },
      testTimeout: 240_000,
      hookTimeout: 240_000,
    },
  }));

export default defineConfig({
  test: {
    projects,
    maxWorkers: 2,
    coverage: {
      provider: 'v8',
      // What the tests load is what ships; source maps lead from there to the sources.
      include: counted.map((name) => `packages/${name}/dist/**/*.js`),
      reporter: ['text-summary', 'json-summary'],
      thresholds: { lines: 93, statements: 92, functions: 93, branches: 86 },
    },
  },
});
