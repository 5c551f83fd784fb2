// Builds examples/bundlers with Next.js (Turbopack and webpack), Nitro and Vite from the packed npm packages. It runs
// each build in a folder without installed packages and compares the result with the expected similarity. This takes
// several minutes and 1 GB of disk space.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pnpmCommand, root } from './pnpm.mjs';
import { setUp } from './setup.mjs';

/** Expected cosine similarity of the two texts in the examples. */
const expected = 0.678;
const needed = ['core', 'kernels', 'platform', 'architectures', 'backend-onnx', 'model-use-lite'];
const versions = { next: '16.4.6', react: '19.2.0', 'react-dom': '19.2.0', nitropack: '2.13.6', vite: '8.3.8' };

setUp();
const folder = mkdtempSync(join(tmpdir(), 'sentvec-bundlers-'));
// Remove NODE_PATH: pnpm sets it so that child processes find every package of the workspace.
const { NODE_PATH: _, ...inherited } = process.env;
const environment = {
  ...inherited,
  NEXT_TELEMETRY_DISABLED: '1',
  ONNXRUNTIME_NODE_INSTALL: 'skip',
  SENTVEC_CACHE: join(folder, 'cache'),
};

function run(cwd, program, ...words) {
  const { status, stdout, stderr } = spawnSync(program, words, { cwd, env: environment, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')} exited with code ${status}:\n${stdout}\n${stderr}`);
  return stdout;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a server, and requests the similarity of the two texts from it. */
async function ask(cwd, ...words) {
  const port = await freePort();
  const variables = { ...environment, PORT: String(port), HOSTNAME: '127.0.0.1' };
  const server = spawn(process.execPath, words, { cwd, env: variables, stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    for (;;) {
      if (server.exitCode !== null) throw new Error(`${words.join(' ')} exited with code ${server.exitCode}.`);
      const answer = await fetch(`http://127.0.0.1:${port}/api/embed`).catch(() => undefined);
      if (answer !== undefined) return (await answer.json()).similarity;
      await sleep(200);
    }
  } finally {
    server.kill();
  }
}

function report(name, similarity) {
  if (!(Math.abs(similarity - expected) < 1e-3)) throw new Error(`${name}: ${similarity}, not ${expected}.`);
  console.log(`${name}: ${similarity.toFixed(4)}`);
}

/** Runs `work` while the packages of the project are moved away. */
async function withoutPackages(project, work) {
  const [here, away] = [join(project, 'node_modules'), join(project, 'away')];
  renameSync(here, away);
  try {
    return await work();
  } finally {
    renameSync(away, here);
  }
}

try {
  const [pnpm, ...words] = pnpmCommand();
  run(root, pnpm, ...words, '--recursive', '--filter', './packages/*', 'pack', '--pack-destination', folder);
  const tarball = (name) => readdirSync(folder).find((file) => new RegExp(`^sentvec-${name}-\\d`).test(file));
  const packed = needed.map((name) => [`@sentvec/${name}`, `file:${join(folder, tarball(name))}`]);
  const project = join(folder, 'project');
  for (const name of ['next', 'nitro']) cpSync(join(root, 'examples/bundlers', name), project, { recursive: true });
  cpSync(join(root, 'test/bundled-program.mjs'), join(project, 'program.mjs'));
  const dependencies = { ...Object.fromEntries(packed), ...versions };
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
  run(project, 'npm', 'install', '--no-audit', '--no-fund', '--prefer-offline');

  run(project, 'npx', 'vite', 'build', '--ssr', 'program.mjs', '--outDir', 'vite-output');
  report('Vite SSR', Number(run(project, process.execPath, 'vite-output/program.js')));

  const next = join(project, 'node_modules/next/dist/bin/next');
  const config = join(project, 'next.config.mjs');
  for (const bundler of ['--turbopack', '--webpack']) {
    renameSync(config, `${config}.away`);
    run(project, 'npx', 'next', 'build', bundler);
    report(`next start ${bundler}`, await ask(project, next, 'start'));
    renameSync(`${config}.away`, config);
    run(project, 'npx', 'next', 'build', bundler);
    const alone = join(folder, `standalone${bundler}`);
    cpSync(join(project, '.next/standalone'), alone, { recursive: true, verbatimSymlinks: true });
    report(`standalone ${bundler}`, await withoutPackages(project, () => ask(alone, 'server.js')));
  }

  run(project, 'npx', 'nitropack', 'build');
  const alone = join(folder, 'nitro');
  cpSync(join(project, '.output'), alone, { recursive: true, verbatimSymlinks: true });
  report('Nitro', await withoutPackages(project, () => ask(alone, 'server/index.mjs')));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
