// Prepares a fresh clone: installs the packages and builds the workspace. Skips steps that are up to date.
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pnpm, root } from './pnpm.mjs';

function installed() {
  const record = join(root, 'node_modules', '.modules.yaml');
  return existsSync(record) && statSync(record).mtimeMs >= statSync(join(root, 'pnpm-lock.yaml')).mtimeMs;
}

/**
 * Removes the compiled output of sources that were moved or deleted. The compiler leaves it, and it would be published.
 */
function removeStaleOutput() {
  for (const room of ['packages', 'apps']) {
    for (const name of readdirSync(join(root, room))) {
      const dist = join(root, room, name, 'dist');
      if (!existsSync(dist)) continue;
      for (const file of readdirSync(dist, { recursive: true })) {
        const [, stem] = /^(.*?)(?:\.d\.ts|\.js)(?:\.map)?$/.exec(file) ?? [];
        if (stem !== undefined && !existsSync(join(root, room, name, 'src', `${stem}.ts`))) rmSync(join(dist, file));
      }
    }
  }
}

/** Installs the packages if the lock file is newer than node_modules, and builds changed projects. */
export function setUp() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 16)) {
    console.error(`sentvec needs Node 20.16 or newer; this is ${process.versions.node}.`);
    process.exit(1);
  }
  if (!installed()) {
    console.error('Installing packages …');
    pnpm('install', '--frozen-lockfile', '--prefer-offline', '--reporter=append-only');
  }
  removeStaleOutput();
  console.error('Building …');
  pnpm('exec', 'tsc', '-b');
}
