// Runs the test suites of the most important packages with other versions of Node, installed from npm: the minimum
// supported version and later ones. It also runs a program with Deno, which must print the same value as with Node and
// exit by itself. `node scripts/node-versions.mjs 24 --project core` runs a subset.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run } from './pnpm.mjs';
import { setUp } from './setup.mjs';

const words = process.argv.slice(2);
const named = words.filter((word) => /^\d+(?:\.\d+)*$/.test(word));
const versions = named.length > 0 ? named : ['20.16.0', '22', '24'];
const options = words.filter((word) => !named.includes(word));
const suites = ['platform', 'kernels', 'core', 'backend-onnx', 'corpus', 'workflow'];
const projects = options.length > 0 ? options : suites.flatMap((name) => ['--project', name]);

setUp();
const folder = mkdtempSync(join(tmpdir(), 'sentvec-node-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
/** Installs an npm package and returns the path of a file in it. */
function install(name, version, file) {
  const prefix = join(folder, `${name}-${version}`);
  run(['npm', 'install', '--silent', '--no-audit', '--no-fund', '--prefix', prefix, `${name}@${version}`]);
  return join(prefix, 'node_modules', file);
}

for (const version of versions) {
  const node = install('node', version, 'node/bin/node');
  run([node, '--version']);
  run([node, join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...projects]);
}

if (named.length === 0 && options.length === 0) {
  const deno = install('deno', '2', '.bin/deno');
  const program = readFileSync(join(root, 'test/bundled-program.mjs'));
  // Run in the package that depends on all packages that the program imports.
  const place = {
    cwd: join(root, 'packages/cli'),
    input: program,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 60_000,
  };
  /** Returns the output of a program. @throws if it fails or does not exit within a minute */
  const printedBy = (command, ...more) => {
    const { status, signal, stdout, error } = spawnSync(command, more, place);
    if (status !== 0) throw new Error(`${command} failed with ${error?.message ?? signal ?? status}: ${stdout}`);
    return stdout.trim();
  };
  run([deno, '--version']);
  const expected = printedBy(process.execPath, '--input-type=module', '-');
  const value = printedBy(deno, 'run', '-A', '--ext=mjs', '-');
  if (value === '' || value !== expected) throw new Error(`Deno prints "${value}", Node "${expected}".`);
  console.log(`Deno prints the same value as Node: ${value}`);
}
