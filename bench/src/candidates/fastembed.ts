// fastembed for JavaScript, where the option `--fastembed` names a folder with `node_modules/fastembed`.
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Candidate } from '../candidate.ts';
import { openProcess } from './process-candidate.ts';

/** Its onnxruntime is of another version, and one process cannot load two. */
const program = `
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
let model;
for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  if (model === undefined) {
    const { EmbeddingModel, FlagEmbedding } = createRequire(question.installed + '/')('fastembed');
    const files = { modelAbsoluteDirPath: question.directory, modelName: 'model.onnx' };
    model = await FlagEmbedding.init({ model: EmbeddingModel.CUSTOM, ...files });
    console.log('{}');
    continue;
  }
  const rows = [];
  for await (const batch of model.embed(question)) rows.push(...batch);
  console.log(Buffer.from(Float32Array.from(rows.flatMap((row) => [...row])).buffer).toString('base64'));
}
`;

/** fastembed as a user gets it. It pads every text to the longest that the model reads, and pools by the first token. */
export function fastembed(installed: string): Candidate {
  return {
    name: 'fastembed',
    isExact: false,
    texts: 32,
    async open(directory) {
      const folder = await mkdtemp(join(tmpdir(), 'sentvec-bench-fastembed-'));
      for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
        await cp(join(directory, file), join(folder, file));
      await writeFile(join(folder, 'special_tokens_map.json'), '{}');
      await symlink(join(directory, 'onnx/model.onnx'), join(folder, 'model.onnx'));
      const command = [process.execPath, '--input-type=module', '--eval', program];
      const open = await openProcess(command, { installed, directory: folder });
      return {
        embed: (texts) => open.embed(texts),
        close: async () => {
          await open.close();
          await rm(folder, { recursive: true, force: true });
        },
      };
    },
  };
}
