import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rowOf, splitByTokens } from '@sentvec/core';
import { defineStep, defineWorkflow } from '@sentvec/workflow';
import * as v from 'valibot';

const site = v.object({ folder: v.string(), index: v.string() });
const page = v.object({ ...site.entries, file: v.string() });

/**
 * Workflow: crawl → clean → split long pages by tokens → embed → index. A worker calls this function with the tools for
 * plugins.
 */
export default function pages({ embedder, access }) {
  async function* crawl({ folder, index }) {
    await mkdir(await access.checkWrite(index), { recursive: true });
    for (const file of (await readdir(await access.checkRead(folder))).sort())
      if (file.endsWith('.html')) yield { folder, index, file };
  }
  async function embed({ folder, index, file }, { signal }) {
    const html = await readFile(await access.checkRead(join(folder, file)), 'utf8');
    const model = await embedder('use-lite');
    const pieces = await splitByTokens(html.replaceAll(/<[^>]*>/g, ' '), model);
    const texts = pieces.map(({ text }) => text);
    const { vectors } = await model.embed(texts, { signal });
    const lines = texts.map((text, row) => `${JSON.stringify({ file, text, embedding: [...rowOf(vectors, row)] })}\n`);
    await writeFile(await access.checkWrite(join(index, `${file}.jsonl`)), lines.join(''));
    return texts.length;
  }
  return defineWorkflow({ id: 'index-pages', input: site })
    .step(defineStep({ id: 'crawl', input: site, output: page, run: crawl }))
    .forEach(defineStep({ id: 'embed', input: page, output: v.number(), run: embed }), {
      fold: { initial: 0, add: (sum, n) => sum + n },
    });
}
