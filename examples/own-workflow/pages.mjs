import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
      const files = (await readdir(await access.checkRead(folder))).filter((file) => file.endsWith('.html')).sort();
      for (const file of files) yield { folder, index, file };
    },
  });
  const embed = defineStep({
    id: 'embed',
    input: page,
    output: v.number(),
    run: async ({ folder, index, file }, { signal }) => {
      const html = await readFile(await access.checkRead(join(folder, file)), 'utf8');
      const model = await embedder('use-lite');
      const texts = await cut(
        html
          .replaceAll(/<[^>]*>/g, ' ')
          .replaceAll(/\s+/g, ' ')
          .trim(),
        model,
      );
      const { vectors } = await model.embed(texts, { signal });
      const entries = texts.map((text, row) => ({
        file,
        text,
        embedding: [...vectors.data.subarray(row * vectors.cols, (row + 1) * vectors.cols)],
      }));
      const folderOfIndex = await access.checkWrite(index);
      await mkdir(folderOfIndex, { recursive: true });
      await writeFile(join(folderOfIndex, `${file}.jsonl`), entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
      return entries.length;
    },
  });
  const fold = { initial: 0, add: (sum, count) => sum + count };
  return defineWorkflow({ id: 'index-pages', input: site }).then(crawl).forEach(embed, { fold });
}

/** A text in pieces of at most as many tokens as the model reads. */
async function cut(text, { tokenizer, maxLength }) {
  const pieces = [''];
  for (const word of text.split(' ')) {
    const longer = `${pieces.at(-1)} ${word}`.trim();
    const [{ truncated }] = await tokenizer.encode([longer], { maxLength });
    if (truncated) pieces.push(word);
    else pieces[pieces.length - 1] = longer;
  }
  return pieces;
}
