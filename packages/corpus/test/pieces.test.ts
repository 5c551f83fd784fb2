import { embedCorpus, openEmbeddings, type CorpusRequest, type EmbeddingBatch } from '@sentvec/corpus';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder, fakeVector } from './fake-embedder.ts';
import { contents, readRejected, workspace } from './workspace.ts';

const space = workspace();

/** Texts of words; the fake embedder counts one token per word. */
const texts = ['a b c d e', 'bad x y', '', 'f  g', 'h i j bad', 'k l m'];

async function request(wanted: Partial<CorpusRequest> = {}): Promise<CorpusRequest> {
  const lines = texts.map((text, row) => `${JSON.stringify({ text, id: `n${row}`, page: row })}\n`);
  const inputs = [await space.write('corpus.jsonl', lines.join(''))];
  return { inputs, output: space.path('out'), idField: 'id', chunkRows: 4, pieces: { maxTokens: 2 }, ...wanted };
}

const poison = (text: string): boolean => text.includes('bad');

async function readAll(output: string): Promise<EmbeddingBatch[]> {
  const batches: EmbeddingBatch[] = [];
  for await (const batch of (await openEmbeddings(output)).batches()) batches.push(batch);
  return batches;
}

describe('rows in pieces', () => {
  it.each(['parquet', 'arrow', 'npy', 'jsonl'] as const)('have one vector per piece: %s', async (format) => {
    const wanted = await request({ format, columns: ['text', 'page'] });
    const manifest = await embedCorpus(wanted, fakeEmbedder({ poison }));
    // If a piece of a row cannot be embedded, the row has no vectors.
    expect(manifest).toMatchObject({ complete: true, rows: 3, pieces: 6, rejected: 3 });
    const batches = await readAll(wanted.output);
    expect(batches.map(({ offset, firstRow }) => [offset, firstRow])).toEqual([
      [0, 0],
      [4, 4],
    ]);
    const found = batches.flatMap(({ ids, texts: ofPieces, pieces, columns }) =>
      ids.map((id, index) => [id, ofPieces![index], pieces![index], Number(columns['page']![index])]),
    );
    expect(found).toEqual([
      ['n0', 'a b', { piece: 0, start: 0, end: 3 }, 0],
      ['n0', 'c d', { piece: 1, start: 4, end: 7 }, 0],
      ['n0', 'e', { piece: 2, start: 8, end: 9 }, 0],
      ['n3', 'f  g', { piece: 0, start: 0, end: 4 }, 3],
      ['n5', 'k l', { piece: 0, start: 0, end: 3 }, 5],
      ['n5', 'm', { piece: 1, start: 4, end: 5 }, 5],
    ]);
    expect(Object.keys(batches[0]!.columns)).toEqual(['text', 'page']);
    const vectors = batches.flatMap(({ vectors: { data } }) => [...data]);
    expect(vectors).toEqual(found.flatMap(([, text]) => fakeVector(text as string)));
    expect((await readRejected(wanted.output)).map(({ row }) => row)).toEqual([1, 2, 4]);
  });

  it('have one vector per row, the mean over its pieces', async () => {
    const wanted = await request({ pieces: { maxTokens: 2, mean: true } });
    const manifest = await embedCorpus(wanted, fakeEmbedder({ poison }));
    expect(manifest).toMatchObject({ rows: 3, rejected: 3 });
    expect(manifest.pieces).toBeUndefined();
    const [first] = await readAll(wanted.output);
    expect(first).toMatchObject({ ids: ['n0', 'n3'], texts: ['a b c d e', 'f  g'] });
    expect(first!.pieces).toBeUndefined();
    const parts = ['a b', 'c d', 'e'].map((text) => fakeVector(text));
    const mean = parts[0]!.map((_, col) => parts.reduce((sum, part) => sum + part[col]! / 3, 0));
    for (const [col, value] of mean.entries()) expect(first!.vectors.data[col]).toBeCloseTo(value, 5);
  });

  it('produce the same bytes after a resume, which requires the same options', async () => {
    const whole = await request({ output: space.path('whole') });
    await embedCorpus(whole, fakeEmbedder({ poison }));
    const wanted = await request();
    const controller = new AbortController();
    const onEmbed = (some: readonly string[]): void => {
      if (some.includes('k l')) controller.abort();
    };
    const stopped = embedCorpus(wanted, fakeEmbedder({ poison, onEmbed }), { signal: controller.signal });
    await expect(stopped).rejects.toMatchObject({ code: 'aborted' });
    const other = { ...wanted, pieces: { maxTokens: 3 }, resume: true };
    await expect(embedCorpus(other, fakeEmbedder())).rejects.toThrow(/pieces was .*"maxTokens":2/);
    await expect(embedCorpus({ ...wanted, pieces: undefined, resume: true }, fakeEmbedder())).rejects.toMatchObject({
      code: 'invalid-output',
    });
    await embedCorpus({ ...wanted, resume: true }, fakeEmbedder({ poison }));
    expect(await contents(wanted.output)).toEqual(await contents(whole.output));
    // A finished folder of pieces is continued only for its rejected rows.
    const again = await embedCorpus({ ...wanted, retryRejected: true }, fakeEmbedder());
    expect(again).toMatchObject({ rows: 5, pieces: 10, rejected: 1 });
  });

  it('are quantized with the ranges of the pieces', async () => {
    const wanted = await request({ precision: 'int8' });
    await embedCorpus(wanted, fakeEmbedder({ poison }));
    const [first] = await readAll(wanted.output);
    expect(first!.vectors.rows).toBe(4);
  });

  it('refuse invalid options, and input columns with the names of the piece columns', async () => {
    const refused = async (wanted: Partial<CorpusRequest>, message: RegExp) =>
      expect(embedCorpus(await request(wanted), fakeEmbedder())).rejects.toThrow(message);
    await refused({ pieces: { maxTokens: 0 } }, /pieces\.maxTokens/);
    await refused({ pieces: { maxTokens: 2, overlapTokens: -1 } }, /overlapTokens/);
    await refused({ pieces: { maxTokens: 2, splitBy: 'pages' as 'tokens' } }, /sentences/);
    await refused({ columns: ['start'] }, /"start" cannot be kept/);
  });
});
