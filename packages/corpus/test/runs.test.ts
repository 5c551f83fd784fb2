import { join } from 'node:path';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import {
  commitCorpus,
  embedChunk,
  embedCorpus,
  openRun,
  planCorpus,
  prepareCorpus,
  readManifest,
  type CorpusChunk,
  type CorpusProgressEvent,
  type CorpusRequest,
  type CorpusRun,
} from '@sentvec/corpus';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder, type FakeOptions } from './fake-embedder.ts';
import { contents, listedFile, plainContents, readRejected, readRows, workspace } from './workspace.ts';
import { findFinishedChunk } from '../src/run/finished-chunk.ts';

const space = workspace();

/** 1,000 rows, of which every 97th is invalid. */
async function corpus(): Promise<string> {
  const lines = Array.from({ length: 1000 }, (_, row) =>
    row % 97 === 50 ? 'broken' : JSON.stringify({ text: `text ${row}`, key: `k${row}` }),
  );
  return space.write('corpus.jsonl', `${lines.join('\n')}\n`);
}

function request(input: string, more: Partial<CorpusRequest> = {}): CorpusRequest {
  return { inputs: [input], output: space.path('out'), chunkRows: 100, columns: ['text', 'key'], ...more };
}

async function prepared(wanted: CorpusRequest, fake: FakeOptions = {}): Promise<CorpusRun> {
  const result = await prepareCorpus(wanted, fakeEmbedder(fake));
  if (result.finished) throw new Error('finished');
  return result.run;
}

async function planned(run: CorpusRun): Promise<CorpusChunk[]> {
  const chunks: CorpusChunk[] = [];
  for await (const chunk of planCorpus(run)) chunks.push(chunk);
  return chunks;
}

/** An embedder whose call is aborted after a number of batches. */
function abortingAfter(batches: number): { embedder: ReturnType<typeof fakeEmbedder>; signal: AbortSignal } {
  const controller = new AbortController();
  let count = 0;
  const onEmbed = (): void => {
    count += 1;
    if (count > batches) controller.abort();
  };
  return { embedder: fakeEmbedder({ onEmbed }), signal: controller.signal };
}

describe('the same request', () => {
  it.each(['parquet', 'npy', 'arrow', 'jsonl'] as const)(
    'writes the same bytes each time, undisturbed or interrupted and resumed: %s',
    async (format) => {
      const input = await corpus();
      await embedCorpus(request(input, { format, precision: 'int8' }), fakeEmbedder());
      const undisturbed = await contents(space.path('out'));
      expect(Object.keys(undisturbed)).toContain('manifest.json');
      expect(Object.keys(undisturbed).filter((name) => name.startsWith('.'))).toEqual([]);
      for (const batches of [0, 1, 2, 5, 9]) {
        const output = space.path(`interrupted-${batches}`);
        const wanted = request(input, { format, precision: 'int8', output });
        const { embedder, signal } = abortingAfter(batches);
        await expect(embedCorpus(wanted, embedder, { signal })).rejects.toMatchObject({ code: 'aborted' });
        await embedCorpus({ ...wanted, resume: true }, fakeEmbedder());
        expect(await contents(output)).toEqual(undisturbed);
      }
    },
  );

  it('is refused if the folder has a finished or unfinished run, unless resume or overwrite is set', async () => {
    const input = await corpus();
    const { embedder, signal } = abortingAfter(4);
    await expect(embedCorpus(request(input), embedder, { signal })).rejects.toMatchObject({ code: 'aborted' });
    const remedy = expect.stringMatching(/`resume` .*`overwrite`/) as string;
    await expect(embedCorpus(request(input), fakeEmbedder())).rejects.toMatchObject({
      code: 'invalid-output',
      message: remedy,
    });
    const first = await embedCorpus(request(input, { resume: true }), fakeEmbedder());
    await expect(embedCorpus(request(input), fakeEmbedder())).rejects.toMatchObject({
      code: 'invalid-output',
      message: remedy,
    });
    const before = await contents(space.path('out'));
    const texts: string[] = [];
    const again = await embedCorpus(
      request(input, { resume: true }),
      fakeEmbedder({ onEmbed: (some) => void texts.push(...some) }),
    );
    expect(again).toEqual(first);
    expect(texts).toEqual(['a']);
    expect(await contents(space.path('out'))).toEqual(before);
    await embedCorpus(request(input, { overwrite: true }), fakeEmbedder());
    expect(await contents(space.path('out'))).toEqual(before);
  });

  it('embeds no text twice when it is resumed', async () => {
    const input = await corpus();
    const { embedder, signal } = abortingAfter(6);
    await expect(embedCorpus(request(input), embedder, { signal })).rejects.toMatchObject({ code: 'aborted' });
    const texts: string[] = [];
    const events: CorpusProgressEvent[] = [];
    const onEmbed = (some: readonly string[]): void => void texts.push(...some);
    await embedCorpus(request(input, { resume: true }), fakeEmbedder({ onEmbed }), {
      onProgress: (event) => events.push(event),
    });
    const last = events.at(-1)!;
    expect(last).toMatchObject({ phase: 'embed', rows: 990, rejected: 10, tokens: 990 });
    expect(last.bytes).toBe(last.totalBytes);
    expect(last.reusedRows).toBeGreaterThan(0);
    // One of the texts is the probe text for the dimension.
    expect(texts.length).toBe(990 - last.reusedRows + 1);
    expect(events.map(({ rows }) => rows)).toEqual(events.map(({ rows }) => rows).sort((a, b) => a - b));
  });
});

describe('the steps', () => {
  it('write the same bytes as one process, whichever worker embeds the chunks, in any order and repeatedly', async () => {
    const input = await corpus();
    await embedCorpus(request(input), fakeEmbedder());
    const wanted = request(input, { output: space.path('steps') });
    const run = await prepared(wanted);
    expect(JSON.parse(JSON.stringify(run))).toEqual(run);
    expect(await openRun(run.output, run.key)).toEqual(run);
    const chunks = await planned(run);
    expect(await planned(run)).toEqual(chunks);
    expect(chunks.map(({ firstRow, rows }) => [firstRow, rows])).toEqual(
      Array.from({ length: 10 }, (_, index) => [index * 100, 100]),
    );
    const workers = [fakeEmbedder(), fakeEmbedder(), fakeEmbedder()];
    const jobs = [...chunks, ...chunks].sort((a, b) => ((a.index * 7) % 10) - ((b.index * 7) % 10));
    await Promise.all(jobs.map((chunk, index) => embedChunk(chunk, run, workers[index % 3]!)));
    const manifest = await commitCorpus(run);
    expect(await contents(wanted.output)).toEqual(await contents(space.path('out')));
    expect(await commitCorpus(run)).toEqual(manifest);
    await expect(openRun(run.output, run.key)).rejects.toMatchObject({ code: 'invalid-output' });
    await rm(await listedFile(space.path('steps'), 'shard-00003.parquet'));
    await expect(embedChunk(chunks[3]!, run, fakeEmbedder())).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringContaining('no longer open') as string,
    });
  });

  it('refuse a worker that has another model', async () => {
    const run = await prepared(request(await corpus()));
    const [chunk] = await planned(run);
    await expect(embedChunk(chunk!, run, fakeEmbedder({ model: 'other' }))).rejects.toMatchObject({
      code: 'space-mismatch',
      message: expect.stringMatching(
        /^The model other of this process is not the model of the run .* Different: weights\./,
      ) as string,
    });
  });

  it('record the backends that computed the shards', async () => {
    const run = await prepared(request(await corpus()));
    const chunks = await planned(run);
    for (const [index, chunk] of chunks.entries())
      await embedChunk(chunk, run, { ...fakeEmbedder(), backend: index === 1 ? 'tfjs' : 'onnx' });
    const manifest = await commitCorpus(run);
    expect(manifest.backends).toEqual(['onnx', 'tfjs']);
    expect(manifest.shards.map(({ backend }) => backend).slice(0, 3)).toEqual(['onnx', 'tfjs', 'onnx']);
    expect((await readManifest(run.output))?.backends).toEqual(['onnx', 'tfjs']);
  });

  it('write a missing or truncated shard again, and do not commit without it', async () => {
    const run = await prepared(request(await corpus()));
    const chunks = await planned(run);
    await expect(commitCorpus(run)).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringContaining('Chunk 0') as string,
    });
    for (const chunk of chunks) await embedChunk(chunk, run, fakeEmbedder());
    await rm(await listedFile(space.path('out'), 'shard-00002.parquet'));
    await writeFile(await listedFile(space.path('out'), 'shard-00004.parquet'), 'cut off');
    await expect(commitCorpus(run)).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringMatching(/shard-00002\.parquet .*missing/) as string,
    });
    const results = [];
    for (const chunk of chunks) results.push(await embedChunk(chunk, run, fakeEmbedder()));
    expect(results.flatMap(({ index, reused }) => (reused ? [] : [index]))).toEqual([2, 4]);
    expect((await commitCorpus(run)).rows).toBe(990);
  });

  it('embed a chunk again if its content has changed', async () => {
    const run = await prepared(request(await corpus(), { format: 'jsonl' }));
    const [first, second] = await planned(run);
    await embedChunk(first!, run, fakeEmbedder());
    expect(await embedChunk(first!, run, fakeEmbedder())).toMatchObject({ reused: true });
    const moved = { ...first!, start: second!.start, end: second!.end, content: second!.content };
    expect(moved.rows).toBe(second!.rows);
    expect(await embedChunk(moved, run, fakeEmbedder())).toMatchObject({ reused: false });
    const { rows, firstRow, firstInputRow, firstLine } = moved;
    const elsewhere = [{ rows: rows - 1 }, { firstRow: firstRow + 1 }, { firstInputRow: firstInputRow + 1 }];
    for (const other of [...elsewhere, { firstLine: firstLine + 1 }])
      expect(await findFinishedChunk(run, { ...moved, ...other })).toBeUndefined();
    expect(await findFinishedChunk(run, moved)).toMatchObject({ shard: { content: second!.content } });
  });

  it.each([
    ['run.json', (run: CorpusRun) => openRun(run.output, run.key)],
    ['inputs.json', planned],
    ['plan.json', (run: CorpusRun) => commitCorpus(run)],
    ['chunks/00003.json', (run: CorpusRun) => commitCorpus(run)],
    ['chunks/00003.json', async (run: CorpusRun) => embedChunk((await planned(run))[3]!, run, fakeEmbedder())],
    ['calibration.json', (run: CorpusRun) => commitCorpus(run)],
  ] as const)('refuse a damaged %s by its name, and overwrite starts over', async (file, step) => {
    const wanted = request(await corpus(), { precision: 'int8' });
    const run = await prepared(wanted);
    for (const chunk of await planned(run)) await embedChunk(chunk, run, fakeEmbedder());
    const path = join(run.output, '.unfinished', run.key, file);
    for (const [content, problem] of [
      ['{"key":', 'it is not JSON'],
      ['[]', 'Expected'],
      ['{"rows":-1,"chunks":2.5,"chunk":{"rows":"many"}}', '(Expected|Received)'],
    ] as const) {
      await writeFile(path, content);
      await expect(step(run)).rejects.toMatchObject({
        code: 'invalid-output',
        message: expect.stringMatching(
          new RegExp(`${file} is not a valid file of sentvec: .*${problem}.*\`overwrite\``),
        ) as string,
        details: { file: path },
      });
    }
    expect(await embedCorpus({ ...wanted, overwrite: true }, fakeEmbedder())).toMatchObject({ rows: 990 });
  });

  it('do not commit before the plan is complete', async () => {
    const run = await prepared(request(await corpus()));
    for await (const chunk of planCorpus(run)) {
      await embedChunk(chunk, run, fakeEmbedder());
      if (chunk.index === 3) break;
    }
    await expect(commitCorpus(run)).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringContaining('is not complete') as string,
    });
  });

  it('refuse a worker with another model', async () => {
    const run = await prepared(request(await corpus()));
    const [chunk] = await planned(run);
    await expect(embedChunk(chunk!, run, fakeEmbedder({ model: 'other' }))).rejects.toMatchObject({
      code: 'space-mismatch',
      details: { parts: ['weights'] },
    });
  });

  it('refuse the shard of a worker that resumes after its run was replaced', async () => {
    const input = await corpus();
    const run = await prepared(request(input));
    const [chunk] = await planned(run);
    let wake = (): void => {};
    const asleep = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const late = embedChunk(chunk!, run, fakeEmbedder({ onEmbed: () => asleep }));
    await embedCorpus(request(input, { overwrite: true, truncateDim: 4 }), fakeEmbedder());
    const after = await contents(space.path('out'));
    wake();
    await expect(late).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringContaining('no longer open') as string,
    });
    expect(await contents(space.path('out'))).toEqual(after);
  });
});

describe('an existing output folder', () => {
  it('is not changed if sentvec did not write it', async () => {
    const input = await corpus();
    await mkdir(space.path('out'));
    await writeFile(space.path('out/thesis.doc'), 'years of work');
    for (const flags of [{}, { resume: true }, { overwrite: true }]) {
      await expect(embedCorpus(request(input, flags), fakeEmbedder())).rejects.toMatchObject({
        code: 'invalid-output',
        message: expect.stringContaining('thesis.doc') as string,
      });
    }
    await writeFile(space.path('out/manifest.json'), '{"name":"a web app"}');
    await expect(embedCorpus(request(input, { overwrite: true }), fakeEmbedder())).rejects.toMatchObject({
      code: 'invalid-output',
    });
    expect(Object.keys(await contents(space.path('out')))).toEqual(['manifest.json', 'thesis.doc']);
    await writeFile(space.path('file'), '');
    await expect(embedCorpus(request(input, { output: space.path('file') }), fakeEmbedder())).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringContaining('is a file') as string,
    });
  });

  it('of another vector space is refused with the differences, finished or not', async () => {
    const input = await corpus();
    await embedCorpus(request(input), fakeEmbedder());
    const { embedder, signal } = abortingAfter(3);
    const output = space.path('unfinished');
    await expect(embedCorpus(request(input, { output }), embedder, { signal })).rejects.toMatchObject({
      code: 'aborted',
    });
    for (const folder of [space.path('out'), output]) {
      for (const flags of [{}, { resume: true }]) {
        const parts = async (more: Partial<CorpusRequest>, fake: FakeOptions = {}): Promise<unknown> =>
          embedCorpus(request(input, { output: folder, ...flags, ...more }), fakeEmbedder(fake)).catch(
            ({ code, details }) => [code, (details as { parts: unknown }).parts],
          );
        expect(await parts({}, { model: 'other' })).toEqual(['space-mismatch', ['weights']]);
        expect(await parts({ prompt: 'query' })).toEqual(['space-mismatch', ['prompt']]);
        expect(await parts({ truncateDim: 4 })).toEqual(['space-mismatch', ['dimension']]);
        expect(await parts({ precision: 'binary', truncateDim: 4 })).toEqual([
          'space-mismatch',
          ['dimension', 'precision'],
        ]);
      }
    }
  });

  it('with other options, other inputs or changed inputs is not resumed', async () => {
    const input = await corpus();
    const { embedder, signal } = abortingAfter(3);
    await expect(embedCorpus(request(input), embedder, { signal })).rejects.toMatchObject({ code: 'aborted' });
    const message = async (more: Partial<CorpusRequest>): Promise<string> =>
      embedCorpus(request(input, { resume: true, ...more }), fakeEmbedder()).then(
        () => 'done',
        (error: Error) => error.message,
      );
    expect(await message({ chunkRows: 50 })).toMatch(/other options: chunkRows was 100 and is 50/);
    expect(await message({ format: 'arrow', columns: [] })).toMatch(/format was "parquet" and is "arrow"; columns was/);
    expect(
      await message({ inputs: [await space.write('b.jsonl', '{"text":"x"}\n')], columns: ['text', 'key'] }),
    ).toMatch(/other inputs/);
    await embedCorpus(request(input, { overwrite: true }), fakeEmbedder());
    await writeFile(input, '{"text":"shorter"}\n');
    expect(await message({})).toMatch(/corpus\.jsonl has changed/);
  });

  it('keeps its old vectors if the new request fails before it starts', async () => {
    const input = await corpus();
    await embedCorpus(request(input), fakeEmbedder());
    const before = await contents(space.path('out'));
    await expect(
      embedCorpus(request(input, { overwrite: true, textField: 'nothing' }), fakeEmbedder()),
    ).rejects.toMatchObject({
      code: 'invalid-corpus',
    });
    expect(await contents(space.path('out'))).toEqual(before);
  });

  it('is started over by resume if its run is missing or was not fully prepared', async () => {
    const input = await corpus();
    await embedCorpus(request(input), fakeEmbedder());
    const whole = await contents(space.path('out'));
    const { embedder, signal } = abortingAfter(3);
    const output = space.path('gone');
    await expect(embedCorpus(request(input, { output }), embedder, { signal })).rejects.toMatchObject({
      code: 'aborted',
    });
    const run = Object.keys(await contents(output))
      .find((name) => name.startsWith('.unfinished/'))!
      .split('/')
      .slice(0, 2)
      .join('/');
    await cp(output, space.path('never'), { recursive: true });
    await rm(`${output}/${run}`, { recursive: true });
    await rm(space.path(`never/${run}/run.json`));
    for (const folder of [output, space.path('never')]) {
      await embedCorpus(request(input, { output: folder, resume: true }), fakeEmbedder());
      expect(await contents(folder)).toEqual(whole);
    }
  });
});

describe('texts that the model cannot embed', () => {
  const poison = (text: string): boolean => ['text 7', 'text 8', 'text 250', 'text 999'].includes(text);

  it('are rejected, and the vectors of the other texts do not change', async () => {
    const input = await corpus();
    const manifest = await embedCorpus(request(input, { format: 'jsonl' }), fakeEmbedder({ poison }));
    expect(manifest).toMatchObject({ rows: 986, rejected: 14, complete: true });
    const rejected = (await readRejected(space.path('out'))).filter(({ code }) => code !== 'invalid-json');
    expect(rejected).toEqual(
      [7, 8, 250, 999].map((row) => ({
        file: input,
        row,
        line: row + 1,
        code: 'backend-failed',
        reason: 'The batch with the text failed: poison',
      })),
    );
    const healthy = space.path('healthy');
    await embedCorpus(request(input, { format: 'jsonl', output: healthy }), fakeEmbedder());
    const expected = (await readRows(healthy)).filter(({ text }) => !poison(text as string));
    expect(await readRows(space.path('out'))).toEqual(expected);
  });

  it('are embedded by a retry after a fix; other shards are not changed, and the output equals that of a run without failures', async () => {
    const input = await corpus();
    await embedCorpus(request(input), fakeEmbedder({ poison }));
    const fixed = (await readFile(input, 'utf8'))
      .split('\n')
      .map((line, row) => (line === 'broken' ? JSON.stringify({ text: `mended ${row}`, key: 'm' }) : line));
    await writeFile(input, fixed.join('\n'));
    const embedded: string[] = [];
    const manifest = await embedCorpus(
      request(input, { retryRejected: true }),
      fakeEmbedder({ onEmbed: (texts) => void embedded.push(...texts) }),
    );
    expect(manifest).toMatchObject({ rows: 1000, rejected: 0, complete: true });
    expect(embedded.length).toBe(1001);
    const output = space.path('undisturbed');
    await embedCorpus(request(input, { output }), fakeEmbedder());
    expect(await plainContents(space.path('out'))).toEqual(await plainContents(output));
    expect(await embedCorpus(request(input, { retryRejected: true }), fakeEmbedder())).toEqual(manifest);
  });

  it('are retried only in their chunks', async () => {
    const input = await space.write(
      'clean.jsonl',
      Array.from({ length: 1000 }, (_, row) => `${JSON.stringify({ text: `text ${row}`, key: 'k' })}\n`).join(''),
    );
    await embedCorpus(request(input), fakeEmbedder({ poison }));
    const embedded: string[] = [];
    await embedCorpus(
      request(input, { retryRejected: true }),
      fakeEmbedder({ onEmbed: (texts) => void embedded.push(...texts) }),
    );
    expect(embedded.length).toBe(301);
    expect((await readRejected(space.path('out'))).length).toBe(0);
  });

  it('are not rejected if the backend fails on all texts', async () => {
    const input = await corpus();
    let broken = false;
    const embedder = fakeEmbedder({
      onEmbed: (texts) => {
        broken ||= texts.includes('text 320');
      },
      poison: () => broken,
    });
    await expect(embedCorpus(request(input), embedder)).rejects.toMatchObject({ code: 'backend-failed' });
    expect(JSON.parse(await readFile(space.path('out/manifest.json'), 'utf8'))).toMatchObject({ complete: false });
    await embedCorpus(request(input, { resume: true }), fakeEmbedder());
    const output = space.path('undisturbed');
    await embedCorpus(request(input, { output }), fakeEmbedder());
    expect(await contents(space.path('out'))).toEqual(await contents(output));
  });

  it('make the run fail if strict', async () => {
    const input = await space.write('a.jsonl', '{"text":"fine"}\n{"text":"text 7"}\n');
    await expect(
      embedCorpus({ ...request(input, { strict: true }), columns: [] }, fakeEmbedder({ poison })),
    ).rejects.toMatchObject({
      code: 'invalid-corpus',
      details: { file: input, row: 1, line: 2, rejectedRow: 'backend-failed' },
    });
  });
});
