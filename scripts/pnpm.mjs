// Finds pnpm on machines that may not have it: uses the one on PATH if its major version matches, otherwise runs the
// pinned version through npx.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Absolute path of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url));

const pinned = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).packageManager;

let resolved;

/** Returns the command that starts pnpm in the pinned version. */
export function pnpmCommand() {
  resolved ??= findPnpm();
  return resolved;
}

function findPnpm() {
  const found = spawnSync('pnpm', ['--version'], { cwd: root, encoding: 'utf8' });
  const fits = found.status === 0 && `pnpm@${found.stdout.trim()}` === pinned;
  return fits ? ['pnpm'] : ['npx', '--yes', pinned];
}

/** Runs pnpm in the root folder and shows its output. If it fails, exits this process with the same code. */
export function pnpm(...args) {
  run([...pnpmCommand(), ...args]);
}

/** Runs a command in the root folder and shows its output. If it fails, exits this process with the same code. */
export function run([program, ...args], options = {}) {
  const result = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) console.error(`${program}: ${result.error.message}`);
  if (result.status !== 0) process.exit(result.status ?? 1);
}
