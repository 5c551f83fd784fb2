// pnpm for a machine that may not have it: the one on PATH when its major version fits, else the pinned one through
// npx.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Absolute path of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url));

const pinned = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).packageManager;

let resolved;

/** The words that start pnpm of the pinned version. */
export function pnpmCommand() {
  resolved ??= findPnpm();
  return resolved;
}

function findPnpm() {
  const found = spawnSync('pnpm', ['--version'], { cwd: root, encoding: 'utf8' });
  const fits = found.status === 0 && `pnpm@${found.stdout.trim()}` === pinned;
  return fits ? ['pnpm'] : ['npx', '--yes', pinned];
}

/** Runs pnpm at the root with its output shown. Ends this process with pnpm's exit code when it fails. */
export function pnpm(...args) {
  run([...pnpmCommand(), ...args]);
}

/** Runs a command at the root with its output shown. Ends this process with the command's exit code when it fails. */
export function run([program, ...args], options = {}) {
  const result = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) console.error(`${program}: ${result.error.message}`);
  if (result.status !== 0) process.exit(result.status ?? 1);
}
