import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { embedCorpus, openEmbeddings } from '@sentvec/corpus';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder, fakeVector } from './fake-embedder.ts';
import { listedFile, plainNames, workspace } from './workspace.ts';

const space = workspace();

async function corpus(rows: number): Promise<string> {
  return space.write(
    'corpus.jsonl',
    Array.from({ length: rows }, (_, row) => `${JSON.stringify({ text: `text number ${row}` })}\n`).join(''),
  );
}

describe('openEmbeddings', () => {
  it.each(['parquet', 'npy', 'arrow', 'jsonl'] as const)(
    'returns ids, texts and vectors in order: %s',
    async (format) => {
      const input = await space.write(
        'a.jsonl',
        ['{"text":"a","n":1}', 'broken', '{"text":"b"}', '{"text":"c","n":"x"}'].join('\n'),
      );
      const output = space.path('out');
      await embedCorpus({ inputs: [input], output, format, chunkRows: 2, columns: ['text', 'n'] }, fakeEmbedder());
      const embeddings = await openEmbeddings(output);
      expect(embeddings.manifest).toMatchObject({ rows: 3, rejected: 1 });
      const read = [];
      for await (const batch of embeddings.batches()) read.push(batch);
      expect(read.map(({ offset, firstRow, ids, texts }) => ({ offset, firstRow, ids, texts }))).toEqual([
        { offset: 0, firstRow: 0, ids: [0], texts: ['a'] },
        { offset: 1, firstRow: 2, ids: [2, 3], texts: ['b', 'c'] },
      ]);
      const typed = format === 'jsonl' || format === 'npy';
      expect(read.flatMap(({ columns }) => columns['n'])).toEqual([typed ? 1 : '1', null, 'x']);
      expect(read.flatMap(({ vectors }) => [...vectors.data])).toEqual(
        ['a', 'b', 'c'].flatMap((text) => fakeVector(text)),
      );
    },
  );

  it('returns quantized vectors with their scale', async () => {
    const input = await corpus(100);
    const output = space.path('out');
    await embedCorpus({ inputs: [input], output, precision: 'int8', chunkRows: 30, columns: [] }, fakeEmbedder());
    let errors = 0;
    let row = 0;
    for await (const { vectors, texts } of (await openEmbeddings(output)).batches()) {
      expect(texts).toBeUndefined();
      if (!('ranges' in vectors) || vectors.ranges === undefined) throw new Error('no ranges');
      const { data, cols, ranges } = vectors;
      for (let index = 0; index < data.length; index += 1) {
        const [lower, upper] = [ranges.data[index % cols]!, ranges.data[cols + (index % cols)]!];
        const step = (upper - lower) / 255;
        const expected = fakeVector(`text number ${row + Math.floor(index / cols)}`)[index % cols]!;
        // Each component is within its quantization step.
        if (Math.abs(lower + (data[index]! + 128.5) * step - expected) > 0.51 * step) errors += 1;
      }
      row += vectors.rows;
    }
    expect({ row, errors }).toEqual({ row: 100, errors: 0 });
  });

  it('lists every shard with its size and hash, and refuses shards that do not match', async () => {
    const output = space.path('out');
    const manifest = await embedCorpus(
      { inputs: [await corpus(100)], output, chunkRows: 40, format: 'npy' },
      fakeEmbedder(),
    );
    const files = manifest.shards.flatMap((shard) => [shard, shard.companion!]);
    expect(files.map(({ file }) => plainNames(file))).toEqual(
      ['0', '1', '2'].flatMap((n) => [`shard-0000${n}.npy`, `shard-0000${n}.ids.jsonl`]),
    );
    for (const { file, bytes, sha256 } of files) {
      const content = await readFile(`${output}/${file}`);
      expect([content.length, createHash('sha256').update(content).digest('hex')]).toEqual([bytes, sha256]);
    }
    const drain = async (): Promise<number> => {
      let rows = 0;
      for await (const batch of (await openEmbeddings(output)).batches()) rows += batch.ids.length;
      return rows;
    };
    expect(await drain()).toBe(100);
    const shard = await listedFile(output, 'shard-00001.npy');
    const content = await readFile(shard);
    content[200]! ^= 1;
    await writeFile(shard, content);
    await expect(drain()).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringMatching(/shard-00001\.npy is damaged/) as string,
    });
    await writeFile(shard, content.subarray(1));
    await expect(openEmbeddings(output)).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringMatching(/shard-00001\.npy is damaged/) as string,
    });
    await rm(shard);
    await expect(openEmbeddings(output)).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringMatching(/shard-00001\.npy is missing/) as string,
    });
  });

  it('refuses folders without embeddings, and manifests with paths outside of the folder', async () => {
    await expect(openEmbeddings(space.path('none'))).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringContaining('no embeddings') as string,
    });
    const output = space.path('out');
    await embedCorpus({ inputs: [await corpus(3)], output }, fakeEmbedder());
    const manifest = await readFile(`${output}/manifest.json`, 'utf8');
    for (const broken of [
      '{',
      '[]',
      '{}',
      manifest.replace(/shard-00000\.parquet/, '../corpus.jsonl'),
      manifest.replace('"sentvec": 1', '"sentvec": 2'),
    ]) {
      await writeFile(`${output}/manifest.json`, broken);
      await expect(openEmbeddings(output)).rejects.toMatchObject({
        code: 'invalid-output',
        message: expect.stringContaining('manifest.json is not a valid file of sentvec') as string,
      });
    }
  });
});
