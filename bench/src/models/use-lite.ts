import { execFile } from 'node:child_process';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BenchModel } from '../bench-model.ts';

const command = fileURLToPath(new URL('../../../packages/cli/bin/sentvec.mjs', import.meta.url));

/** The modules after the encoder that all candidates support. */
const modules = [
  { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' },
  { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
  { idx: 2, name: '2', path: '2_Normalize', type: 'sentence_transformers.models.Normalize' },
];

/**
 * The default model as written by `sentvec export`, but without its dense layer, which transformers.js does not
 * support.
 */
export const useLite: BenchModel = {
  name: 'use-lite',
  async prepare(directory) {
    const folder = join(directory, 'use-lite-1');
    const ready = join(folder, 'bench-ready');
    if (await stat(ready).catch(() => undefined)) return folder;
    await promisify(execFile)(process.execPath, [command, 'export', 'use-lite', '--output', folder]);
    await writeFile(join(folder, 'modules.json'), JSON.stringify(modules));
    await writeFile(ready, '');
    return folder;
  },
};
