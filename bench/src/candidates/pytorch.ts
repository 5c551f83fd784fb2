// PyTorch with transformers, where the option `--python` names a Python that has both.
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Candidate } from '../candidate.ts';
import { openProcess } from './process-candidate.ts';

/** How PyTorch computes: int8 by `quantize_dynamic`, which quantizes activations as they come. */
export type PyTorchPrecision = 'float32' | 'bfloat16' | 'int8';

/**
 * PyTorch's model of the folder's `config.json`, fed as sentence-transformers does: sorted by length, in batches of 32.
 * The folder's files are sent to the process: where the command changes the root of the file system, it cannot read them.
 */
export function pyTorch(command: string, precision: PyTorchPrecision): Candidate {
  return {
    name: `PyTorch, ${precision}`,
    isExact: precision === 'float32',
    async open(directory) {
      const text = (file: string): Promise<string> => readFile(join(directory, file), 'utf8');
      const program = await readFile(join(import.meta.dirname, '../../pytorch/embed.py'), 'utf8');
      return openProcess([...command.split(' '), '-c', program], {
        config: JSON.parse(await text('config.json')) as unknown,
        tokenizer: await text('tokenizer.json'),
        weights: (await readFile(join(directory, 'model.safetensors'))).toString('base64'),
        precision,
        threads: availableParallelism(),
      });
    },
  };
}
