// The packages as npm would publish them, for tests that use them as users do.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { glob } from 'tinyglobby';
import { pnpmCommand, root } from '../scripts/pnpm.mjs';

export { root };

/** Runs a program to its end. @throws with what it printed when it fails */
export async function run(program: string, words: readonly string[], cwd: string): Promise<string> {
  // pnpm lets what it starts find every package of the workspace; a fresh project finds its own.
  const { NODE_PATH: _, ...environment } = process.env;
  const options = { cwd, maxBuffer: 2 ** 26, env: { ...environment, ONNXRUNTIME_NODE_INSTALL: 'skip' } };
  const { stdout } = await promisify(execFile)(program, [...words], options).catch(
    (error: { message: string; stdout: string }) => {
      throw new Error(`${error.message}\n${error.stdout}`);
    },
  );
  return stdout;
}

/**
 * Packs every package that has changed since it was last packed.
 * @returns the tarballs by the names of the packages without their scope
 */
export async function packAll(): Promise<ReadonlyMap<string, string>> {
  const [program, ...words] = [...pnpmCommand(), 'exec', 'turbo', 'run', 'packed', '--output-logs=errors-only'];
  await run(program, words, root);
  const tarballs = await glob('{packages,apps}/*/package.tgz', { cwd: root, absolute: true });
  return new Map(tarballs.map((file) => [basename(dirname(file)), file]));
}

/** A folder beside nothing, so that a program in it finds only what it has installed. Removed by `remove`. */
export async function temporaryFolder(): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'sentvec-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** A project of its own in which npm has installed packed packages, and others from the registry. */
export async function installInto(
  folder: string,
  tarballs: ReadonlyMap<string, string>,
  others: Readonly<Record<string, string>> = {},
): Promise<void> {
  const packed = [...tarballs].map(([name, file]) => [`@sentvec/${name}`, `file:${file}`]);
  const dependencies = { ...Object.fromEntries(packed), ...others };
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline'], folder);
}
