// Everything between a bare clone and a workspace that runs: the packages, then the build. Does only what is missing.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pnpm, root } from './pnpm.mjs';

function installed() {
  const record = join(root, 'node_modules', '.modules.yaml');
  return existsSync(record) && statSync(record).mtimeMs >= statSync(join(root, 'pnpm-lock.yaml')).mtimeMs;
}

/** Installs the packages when the lock file is newer than node_modules, and builds what changed. */
export function setUp() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 11)) {
    console.error(`sentvec needs Node 20.11 or newer; this is ${process.versions.node}.`);
    process.exit(1);
  }
  if (!installed()) {
    console.error('Installing packages …');
    pnpm('install', '--frozen-lockfile', '--prefer-offline', '--reporter=append-only');
  }
  console.error('Building …');
  pnpm('exec', 'tsc', '-b');
}
