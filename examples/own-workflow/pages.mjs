import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { splitByTokens } from '@sentvec/core';
import { defineStep, defineWorkflow } from '@sentvec/workflow';
import * as v from 'valibot';

const site = v.object({ folder: v.string(), index: v.string() });
const page = v.object({ ...site.entries, file: v.string() });

/** Crawl → clean → cut long pages by tokens → embed → index. The tools are those that a worker gives its plugins. */
export default function pages({ embedder, access }) {
  const crawl = defineStep({
    id: 'crawl',
    input: site,
    output: page,
    async *run({ folder, index }) {
      await mkdir(await access.checkWrite(index), { recursive: true });
      for (const file of (await readdir(await access.checkRead(folder))).sort()) if (file.endsWith('.html')) yield { folder, index, file };
    },
  });
  const embed = defineStep({
    id: 'embed',
    input: page,
    output: v.number(),
    async run({ folder, index, file }, { signal }) {
      const model = await embedder('use-lite');
      const html = await readFile(await access.checkRead(join(folder, file)), 'utf8');
      const texts = await splitByTokens(html.replaceAll(/<[^>]*>/g, ' '), model);
      const { vectors } = await model.embed(texts, { signal });
      const vectorOf = (row) => [...vectors.data.subarray(row * vectors.cols, (row + 1) * vectors.cols)];
      const lines = texts.map((text, row) => `${JSON.stringify({ file, text, embedding: vectorOf(row) })}\n`);
      await writeFile(await access.checkWrite(join(index, `${file}.jsonl`)), lines.join(''));
      return texts.length;
    },
  });
  return defineWorkflow({ id: 'index-pages', input: site })
    .then(crawl)
    .forEach(embed, { fold: { initial: 0, add: (sum, count) => sum + count } });
}
