import { cp, readdir, realpath, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type * as TfjsTraining from '@sentvec/training/tfjs';
import { makeNativeProject } from '../../backend-tfjs/test/native-project.ts';

export { reasonWithoutNative } from '../../backend-tfjs/test/native-project.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Creates a project with a `tfjs-node-gpu` whose native library runs on the CPU, and opens the TensorFlow.js engine
 * there. The caller deletes the folder.
 */
export async function makeNativeTraining(): Promise<{
  readonly folder: string;
  readonly tfjsEngine: typeof TfjsTraining.tfjsEngine;
}> {
  const { folder } = await makeNativeProject();
  const own = join(folder, 'node_modules/@sentvec/training');
  await cp(join(root, 'dist'), join(own, 'dist'), { recursive: true });
  await cp(join(root, 'package.json'), join(own, 'package.json'));
  const present = new Set(await readdir(dirname(own)));
  for (const name of (await readdir(join(root, 'node_modules/@sentvec'))).filter((each) => !present.has(each)))
    await symlink(await realpath(join(root, 'node_modules/@sentvec', name)), join(dirname(own), name));
  const { tfjsEngine } = (await import(pathToFileURL(join(own, 'dist/tfjs/index.js')).href)) as typeof TfjsTraining;
  return { folder, tfjsEngine };
}
