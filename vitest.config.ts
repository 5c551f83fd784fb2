import { existsSync, readdirSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { defineConfig } from 'vitest/config';

// Tests that call onnxruntime-node directly do not report usage to Microsoft either.
process.env['ORT_DISABLE_TELEMETRY'] ??= '1';

/** Packages whose tests run the code in their own process, where it can be counted: coverage has its floor there. */
const counted = ['core', 'architectures', 'corpus', 'workflow'];

/**
 * Projects whose files share a process, one after the other, so that packages are imported once and not in each file.
 * Tests that look at the memory of their process, or change what it has for all, are in others.
 */
const shared: ReadonlySet<string> = new Set(['core', 'workflow', 'training']);

/** The files that take longest, which begin first: otherwise one of them runs alone at the end. */
const longest = [
  'backend-webgpu/test/contract.test.ts',
  'worker/test/chaos.test.ts',
  'docs/test/site.test.ts',
  'training/test/examples.test.ts',
  'backend-tfjs/test/contract.test.ts',
  'cli/test/queue.test.ts',
  'backend-onnx/test/quantize-model.test.ts',
  'cli/test/commands.test.ts',
  'training/test/resume.test.ts',
  'backend-onnx/test/contract.test.ts',
  'backend-tfjs/test/native.test.ts',
  'backend-tfjs/test/encoder-gradients.test.ts',
  'test/fresh-project.test.ts',
];

/** A process is shared by files that follow each other: those of one project stay together. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId, project }: TestSpecification): number => {
      const at = longest.findIndex((path) => moduleId.endsWith(`/${path}`));
      return at < 0 ? longest.length + 1 + [...shared].indexOf(project.name) : at;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

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
      isolate: !shared.has(name),
      testTimeout: 240_000,
      hookTimeout: 240_000,
    },
  }));

export default defineConfig({
  test: {
    projects,
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    coverage: {
      provider: 'v8',
      // What the tests load is what ships; source maps lead from there to the sources.
      include: counted.map((name) => `packages/${name}/dist/**/*.js`),
      reporter: ['text-summary', 'json-summary'],
      thresholds: { lines: 93, statements: 92, functions: 93, branches: 86 },
    },
  },
});
