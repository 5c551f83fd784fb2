// Runs the suites that everything rests on with other versions of Node, each from npm: the least that is supported, and
// those after it. `node scripts/node-versions.mjs 24 --project core` runs some.
import { mkdtempSync, rmSync } from 'node:fs';
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
for (const version of versions) {
  const prefix = join(folder, version);
  run(['npm', 'install', '--silent', '--no-audit', '--no-fund', '--prefix', prefix, `node@${version}`]);
  const node = join(prefix, 'node_modules/node/bin/node');
  run([node, '--version']);
  run([node, join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...projects]);
}
