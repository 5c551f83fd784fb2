import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, realpath, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createBrotliDecompress } from 'node:zlib';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

/** Why the library cannot be loaded on this machine; `undefined` where it can. */
export const reasonWithoutNative: string | undefined =
  process.platform === 'linux' && process.arch === 'x64'
    ? undefined
    : 'the libtensorflow that npm has is for linux-x64';

/**
 * A project as a user's who has installed this package and `@tensorflow/tfjs-node-gpu` with its native half:
 * `node_modules` with a copy of this package, so that it finds that one, and links to what it depends on. The native
 * half is libtensorflow 1.15 for the CPU, with the binding to it, from `tfjs-node-lambda-releases`: the code is
 * that of tfjs-node-gpu, the device is not.
 *
 * @returns the folder, and the URL of this package's entry in it
 */
export async function makeNativeProject(): Promise<{ readonly folder: string; readonly entry: URL }> {
  const folder = await mkdtemp(join(tmpdir(), 'sentvec-tfjs-native-'));
  try {
    return { folder, entry: await fill(join(folder, 'node_modules')) };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** @returns the URL of this package's entry among the modules */
async function fill(modules: string): Promise<URL> {
  const own = join(modules, '@sentvec/backend-tfjs');
  await mkdir(join(modules, '@tensorflow'), { recursive: true });
  await cp(join(root, 'dist'), join(own, 'dist'), { recursive: true });
  await cp(join(root, 'package.json'), join(own, 'package.json'));
  for (const name of await readdir(join(root, 'node_modules/@sentvec')))
    await link(join(root, 'node_modules/@sentvec', name), join(modules, '@sentvec', name));
  for (const name of ['tfjs', 'tfjs-core', 'tfjs-backend-cpu', 'tfjs-backend-wasm']) {
    await link(join(root, 'node_modules/@tensorflow', name), join(modules, '@tensorflow', name));
  }
  const gpu = await realpath(join(root, 'node_modules/@tensorflow/tfjs-node-gpu'));
  const copy = join(modules, '@tensorflow/tfjs-node-gpu');
  await cp(gpu, copy, { recursive: true, filter: (path) => !path.slice(gpu.length).includes('node_modules') });
  // What it depends on lies beside it.
  const beside = dirname(dirname(gpu));
  for (const name of await readdir(beside)) {
    if (!name.startsWith('@tensorflow') && !name.startsWith('.')) await link(join(beside, name), join(modules, name));
  }
  await extractLibrary(copy);
  return pathToFileURL(join(own, 'dist/index.js'));
}

async function link(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await symlink(await realpath(from), to);
}

/**
 * Puts the library into `deps/lib` of the package, and the binding where node-pre-gyp looks for it on this version of
 * Node.
 */
async function extractLibrary(target: string): Promise<void> {
  const archive = join(dirname(require.resolve('tfjs-node-lambda-releases')), 'nodejs12.x-tf2.7.0.br');
  const inside = 'node_modules/@tensorflow/tfjs-node';
  const parts = [`${inside}/deps/lib`, `${inside}/lib/napi-v6`];
  const tar = spawn('tar', ['-x', '-C', target, '--strip-components=3', ...parts], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const exit = once(tar, 'exit') as Promise<[number | null]>;
  await pipeline(createReadStream(archive), createBrotliDecompress(), tar.stdin);
  const [code] = await exit;
  if (code !== 0) throw new Error(`tar ended with ${code} while it extracted libtensorflow.`);
  await cp(join(target, 'lib/napi-v6'), join(target, 'lib/napi-v8'), { recursive: true });
}
