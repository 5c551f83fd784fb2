import { symlinkSync, unlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { SentvecError, type Embedded, type Embedder, type EmbedOptions } from '@sentvec/core';
import { loadEmbedder, loadSparseEmbedder } from '@sentvec/core/node';
import { embedCorpus as embedDirectly } from '@sentvec/corpus';
import { goldenModel } from '@sentvec/testing';
import { embedCorpusWorkflow, inProcessRuntime, restrictAccess, type CorpusTotal } from '@sentvec/workflow';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

let embedder: Embedder;
let folder: string;
let corpus: string;
const runtime = inProcessRuntime();
const rows = 300;

beforeAll(async () => {
  embedder = await loadEmbedder(goldenModel('tiny-bert'), { backend: onnx({ sessions: 1 }) });
});

afterAll(async () => {
  await embedder.dispose();
  await runtime.close();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-workflow-'));
  corpus = join(folder, 'corpus.jsonl');
  await writeFile(corpus, lines(Array.from({ length: rows }, (_, row) => ({ text: `Row ${row} says hello.` }))));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function lines(values: readonly unknown[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join('');
}

async function contents(output: string): Promise<Map<string, string>> {
  const names = (await readdir(output)).sort();
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(output, name), 'base64')] as const)),
  );
}

/** An embedder that fails on texts with a certain word, like a faulty backend. */
function poisonedBy(word: string): Embedder {
  const embed = async (texts: string | readonly string[], options?: EmbedOptions): Promise<Embedded> => {
    if ([texts].flat().some((text) => text.includes(word)))
      throw new SentvecError('backend-failed', `The backend fails on "${word}".`);
    return embedder.embed(texts, options);
  };
  return { ...embedder, fingerprint: (options) => embedder.fingerprint(options), embed: embed as Embedder['embed'] };
}

const request = (output: string) => ({ inputs: [corpus], output: join(folder, output), chunkRows: 64 });

describe('embedCorpusWorkflow in this process', () => {
  it('writes the same files as embedCorpus(), byte for byte, and sums up the results of the chunks', async () => {
    const workflow = embedCorpusWorkflow({ embedder: async () => embedder });
    const run = await runtime.start(workflow, { model: 'tiny', request: request('workflow') });
    const result = await run.result();
    expect(result).toMatchObject({ output: join(folder, 'workflow'), rows, rejected: 0, shards: 5 });
    await embedDirectly(request('direct'), embedder);
    expect(await contents(join(folder, 'workflow'))).toEqual(await contents(join(folder, 'direct')));
    const status = await run.status();
    expect(status.items).toEqual({ done: 5, planned: 5, expected: 5 });
    expect(status.total as CorpusTotal).toMatchObject({ rows, rejected: 0, tokens: result.tokens, reusedRows: 0 });
  });

  it('writes the same bytes with sparse vectors, even after a failed attempt', async () => {
    await using sparse = await loadSparseEmbedder(goldenModel('splade-inference-free'), {
      backend: onnx({ sessions: 1 }),
    });
    const ask = (output: string) => ({ ...request(output), maxActiveDims: 20 });
    let failed = false;
    const embedDocuments = (async (texts: readonly string[], options) => {
      if (!failed && texts.some((text) => text.includes('Row 200 '))) {
        failed = true;
        throw new Error('It stopped.');
      }
      return sparse.embedDocuments(texts, options);
    }) as typeof sparse.embedDocuments;
    const failing = { ...sparse, fingerprint: () => sparse.fingerprint(), embedDocuments };
    const workflow = embedCorpusWorkflow({ embedder: async () => failing });
    const run = await runtime.start(workflow, { model: 'sparse', request: ask('workflow') });
    expect(await run.result()).toMatchObject({ rows, rejected: 0, shards: 5 });
    expect(failed).toBe(true);
    expect(await embedDirectly(ask('direct'), sparse)).toMatchObject({ kind: 'sparse' });
    expect(await contents(join(folder, 'workflow'))).toEqual(await contents(join(folder, 'direct')));
  });

  it('writes the same bytes with rows in pieces, and counts rows', async () => {
    const inPieces = (output: string) => ({ ...request(output), pieces: { maxTokens: 12, overlapTokens: 1 } });
    const workflow = embedCorpusWorkflow({ embedder: async () => embedder });
    const run = await runtime.start(workflow, { model: 'tiny', request: inPieces('workflow') });
    expect(await run.result()).toMatchObject({ rows, rejected: 0, shards: 5 });
    const manifest = await embedDirectly(inPieces('direct'), embedder);
    expect(manifest.pieces).toBeGreaterThan(rows);
    expect(await contents(join(folder, 'workflow'))).toEqual(await contents(join(folder, 'direct')));
    const wrong = { ...request('wrong'), pieces: { maxTokens: 12, overlap: 1 } as { maxTokens: number } };
    await expect(runtime.start(workflow, { model: 'tiny', request: wrong })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
  });

  it('continues an unfinished run of the same request', async () => {
    let chunks = 0;
    const failing = embedCorpusWorkflow({
      embedder: async () => {
        chunks += 1;
        if (chunks > 3) throw new SentvecError('invalid-model', 'The model is gone.');
        return embedder;
      },
    });
    const run = await runtime.start(failing, { model: 'tiny', request: request('broken') });
    await expect(run.result()).rejects.toMatchObject({ code: 'invalid-model' });
    const again = inProcessRuntime();
    const second = await again.start(embedCorpusWorkflow({ embedder: async () => embedder }), {
      model: 'tiny',
      request: request('broken'),
    });
    await second.result();
    expect(((await second.status()).total as CorpusTotal).reusedRows).toBeGreaterThan(0);
    await embedDirectly(request('whole'), embedder);
    expect(await contents(join(folder, 'broken'))).toEqual(await contents(join(folder, 'whole')));
  });

  it('turns rows with poison texts into dead letters, and a replay after a fix completes the output', async () => {
    await writeFile(
      corpus,
      lines([{ text: 'fine' }, { text: 7 }, { text: 'arsenic here' }, { title: 'no text' }, { text: 'also fine' }]),
    );
    let current = poisonedBy('arsenic');
    const run = await runtime.start(embedCorpusWorkflow({ embedder: async () => current }), {
      model: 'tiny',
      request: request('poison'),
    });
    expect(await run.result()).toMatchObject({ rows: 2, rejected: 3 });
    expect(await run.deadLetters()).toEqual([
      { reference: `${corpus}#1`, reason: expect.stringMatching(/text/i) },
      { reference: `${corpus}#2`, reason: expect.stringMatching(/arsenic/) },
      { reference: `${corpus}#3`, reason: expect.stringMatching(/text/i) },
    ]);
    current = embedder;
    await run.replay();
    expect(await run.result()).toMatchObject({ rows: 3, rejected: 2 });
    await writeFile(
      corpus,
      lines(['fine', 'cured', 'arsenic here', 'cured too', 'also fine'].map((text) => ({ text }))),
    );
    await run.replay();
    expect(await run.result()).toMatchObject({ rows: 5, rejected: 0 });
    expect(await run.deadLetters()).toEqual([]);
    await embedDirectly(request('healthy'), embedder);
    expect(await contents(join(folder, 'poison'))).toEqual(await contents(join(folder, 'healthy')));
  });

  it('refuses a finished output, unless resume is set', async () => {
    const workflow = embedCorpusWorkflow({ embedder: async () => embedder });
    await (await runtime.start(workflow, { model: 'tiny', request: request('done') })).result();
    const other = inProcessRuntime();
    const again = await other.start(workflow, { model: 'tiny', request: request('done') });
    await expect(again.result()).rejects.toMatchObject({ code: 'invalid-output' });
    const resumed = await other.start(workflow, { model: 'tiny', request: { ...request('done'), resume: true } });
    expect(await resumed.result()).toMatchObject({ rows });
  });
});

describe('restricted access', () => {
  it('restricts requests to the roots and models of the worker', async () => {
    const inside = join(folder, 'inside');
    const secret = join(folder, 'secret.jsonl');
    await mkdir(inside);
    await writeFile(secret, lines([{ text: 'secret' }]));
    await mkdir(`${inside}-too`);
    await writeFile(join(`${inside}-too`, 'corpus.jsonl'), lines([{ text: 'secret' }]));
    await writeFile(join(inside, 'good.jsonl'), lines([{ text: 'good' }]));
    await symlink(secret, join(inside, 'link.jsonl'));
    await symlink(join(folder, 'not-yet'), join(inside, 'dangling'));
    const access = restrictAccess({ roots: [inside], models: ['tiny'], buckets: ['s3://ours/data'] });
    const workflow = embedCorpusWorkflow({ embedder: async () => embedder, access });
    const good = { inputs: [join(inside, 'good.jsonl')], output: join(inside, 'out') };
    const refusals: [string, object][] = [
      ['other model', { model: 'other', request: good }],
      ['climbing path', { model: 'tiny', request: { ...good, inputs: [`${inside}/../../../../../etc/passwd`] } }],
      ['relative path', { model: 'tiny', request: { ...good, inputs: ['../../etc/passwd'] } }],
      ['path outside', { model: 'tiny', request: { ...good, inputs: [secret] } }],
      [
        'folder whose name only begins alike',
        { model: 'tiny', request: { ...good, inputs: [`${inside}-too/corpus.jsonl`] } },
      ],
      ['link', { model: 'tiny', request: { ...good, inputs: [join(inside, 'link.jsonl')] } }],
      ['link found by a glob', { model: 'tiny', request: { ...good, inputs: [join(inside, '*.jsonl')] } }],
      ['glob that climbs', { model: 'tiny', request: { ...good, inputs: [`${inside}/{.,..}/*.jsonl`] } }],
      ['standard input', { model: 'tiny', request: { ...good, inputs: ['-'] } }],
      ['other bucket', { model: 'tiny', request: { ...good, inputs: ['s3://theirs/corpus.jsonl'] } }],
      ['output outside', { model: 'tiny', request: { ...good, output: join(folder, 'elsewhere') } }],
      [
        'output through a link to nowhere',
        { model: 'tiny', request: { ...good, output: join(inside, 'dangling/out') } },
      ],
      ['output at a link to nowhere', { model: 'tiny', request: { ...good, output: join(inside, 'dangling') } }],
    ];
    for (const [what, input] of refusals) {
      const run = await runtime.start(workflow, input as never, { id: `refused-${what.replaceAll(' ', '-')}` });
      const outcome = await run.result().catch((error: unknown) => error);
      expect({ what, outcome }).toMatchObject({ what, outcome: { code: 'job-refused' } });
    }
    expect((await readdir(inside)).sort()).toEqual(['dangling', 'good.jsonl', 'link.jsonl']);
    expect(await (await runtime.start(workflow, { model: 'tiny', request: good })).result()).toMatchObject({ rows: 1 });
    const byGlob = { inputs: [join(inside, 'g*.jsonl')], output: join(inside, 'by-glob') };
    expect(await (await runtime.start(workflow, { model: 'tiny', request: byGlob })).result()).toMatchObject({
      rows: 1,
    });
    const everywhere = restrictAccess({ roots: ['/'], models: [] });
    expect(await everywhere.checkRead('/etc/passwd')).toBe('/etc/passwd');
    expect(() => access.checkBucket('s3://ours/data/part.parquet')).not.toThrow();
    expect(() => access.checkBucket('s3://ours/database/part.parquet')).toThrow(/bucket/);
  });

  it('checks the file again for each chunk, because a link may have changed meanwhile', async () => {
    const inside = join(folder, 'within');
    await mkdir(inside);
    const secret = join(folder, 'hidden.jsonl');
    for (const path of [secret, join(inside, 'good.jsonl')]) await writeFile(path, lines([{ text: 'good' }]));
    const link = join(inside, 'corpus.jsonl');
    await symlink(join(inside, 'good.jsonl'), link);
    const restricted = restrictAccess({ roots: [inside], models: ['tiny'] });
    let looks = 0;
    const checkModel = (model: string): void => {
      restricted.checkModel(model);
      looks += 1;
      if (looks !== 2) return;
      unlinkSync(link);
      symlinkSync(secret, link);
    };
    const workflow = embedCorpusWorkflow({ embedder: async () => embedder, access: { ...restricted, checkModel } });
    const linked = { inputs: [link], output: join(inside, 'out') };
    const run = await runtime.start(workflow, { model: 'tiny', request: linked });
    await expect(run.result()).rejects.toMatchObject({ code: 'job-refused', message: expect.stringContaining(link) });
    expect(looks).toBe(2);
  });
});
