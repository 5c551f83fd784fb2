/** A run reuses only shards with unchanged content, independent of file names, sizes and times. */
import { cp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import {
  commitCorpus,
  embedChunk,
  embedCorpus,
  openEmbeddings,
  planCorpus,
  prepareCorpus,
  verifyEmbeddings,
  type CorpusChunk,
  type CorpusRequest,
  type CorpusRun,
  type Manifest,
} from '@sentvec/corpus';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder, type FakeOptions } from './fake-embedder.ts';
import { contents, plainContents, listedFile, plainNames, readRejected, workspace } from './workspace.ts';

const space = workspace();

type Format = 'jsonl' | 'csv' | 'parquet' | 'gzip';
const formats: readonly Format[] = ['jsonl', 'csv', 'parquet', 'gzip'];

/** Writes texts in a format; `undefined` becomes an invalid row. */
async function writeTexts(format: Format, texts: readonly (string | undefined)[]): Promise<string> {
  if (format === 'csv') {
    const lines = texts.map((text, row) => (text === undefined ? 'too,many,cells' : `${text},k${row}`));
    return space.write('in.csv', ['text,key', ...lines, ''].join('\n'));
  }
  if (format === 'parquet') {
    const columnData = [
      { name: 'text', data: texts.map((text) => text ?? null), type: 'STRING' as const, nullable: true },
      { name: 'key', data: texts.map((_, row) => `k${row}`), type: 'STRING' as const },
    ];
    // Without compression, texts of equal length result in equal file sizes.
    return space.write('in.parquet', new Uint8Array(parquetWriteBuffer({ columnData, codec: 'UNCOMPRESSED' })));
  }
  const lines = texts.map((text, row) =>
    JSON.stringify(text === undefined ? { no: 'text' } : { text, key: `k${row}` }),
  );
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  return format === 'gzip' ? space.write('in.jsonl.gz', gzipSync(bytes)) : space.write('in.jsonl', bytes);
}

function request(input: string, more: Partial<CorpusRequest> = {}): CorpusRequest {
  return { inputs: [input], output: space.path('out'), chunkRows: 4, columns: ['text', 'key'], ...more };
}

/** Embeds and records the embedded texts, except the probe text. */
async function embed(
  wanted: CorpusRequest,
  fake: FakeOptions = {},
): Promise<{ manifest: Manifest; computed: string[] }> {
  const computed: string[] = [];
  const onEmbed = async (texts: readonly string[]): Promise<void> => {
    computed.push(...texts);
    await fake.onEmbed?.(texts);
  };
  const manifest = await embedCorpus(wanted, fakeEmbedder({ ...fake, onEmbed }));
  return { manifest, computed: computed.slice(1) };
}

/** Returns the files that an undisturbed run of the request writes. */
async function undisturbed(wanted: CorpusRequest): Promise<Record<string, string>> {
  const output = space.path('undisturbed');
  await rm(output, { recursive: true, force: true });
  await embedCorpus({ ...wanted, output, resume: false, retryRejected: false, verify: false }, fakeEmbedder());
  return plainContents(output);
}

async function interrupted(wanted: CorpusRequest, batches: number): Promise<void> {
  let count = 0;
  const controller = new AbortController();
  const onEmbed = (): void => {
    count += 1;
    if (count > batches) controller.abort();
  };
  const embedding = embedCorpus(wanted, fakeEmbedder({ onEmbed }), { signal: controller.signal });
  await expect(embedding).rejects.toMatchObject({ code: 'aborted' });
}

/** Prepares a run, and returns it with its chunks. */
async function prepared(wanted: CorpusRequest): Promise<{ run: CorpusRun; chunks: CorpusChunk[] }> {
  const ready = await prepareCorpus(wanted, fakeEmbedder());
  if (ready.finished) throw new Error('finished');
  const chunks: CorpusChunk[] = [];
  for await (const chunk of planCorpus(ready.run)) chunks.push(chunk);
  return { run: ready.run, chunks };
}

const texts = Array.from({ length: 20 }, (_, row) => `text ${String(row).padStart(2, '0')}`);
const replaced = (row: number, text: string | undefined): (string | undefined)[] =>
  texts.map((each, index) => (index === row ? text : each));

describe.each(formats)('a retry of rejected rows of %s', (format) => {
  it('embeds only rows that have moved or changed', async () => {
    const first = replaced(5, undefined);
    for (const second of [
      texts, // corrected
      first.filter((text) => text !== undefined), // the invalid row is deleted, so all later rows move
      ['new', ...first], // a row is inserted before it, so all rows move
      replaced(17, 'other'), // corrected, and another row replaced by one of the same size
      first.slice(0, 9), // truncated
      [...first, 'and more'], // grown
    ]) {
      await rm(space.path('out'), { recursive: true, force: true });
      await embed(request(await writeTexts(format, first)));
      const input = await writeTexts(format, second);
      const { computed } = await embed(request(input, { retryRejected: true }));
      expect(await plainContents(space.path('out'))).toEqual(await undisturbed(request(input)));
      const kept = second.slice(0, 4).join() === first.slice(0, 4).join();
      expect(computed.includes(texts[0]!)).toBe(!kept);
    }
  });
});

describe.each(formats)('an unfinished run of %s', (format) => {
  it('continues with the current content of its inputs', async () => {
    for (const second of [texts, replaced(1, 'texx 01'), texts.slice(2), [...texts, 'more']]) {
      await rm(space.path('out'), { recursive: true, force: true });
      await interrupted(request(await writeTexts(format, texts)), 4);
      const input = await writeTexts(format, second);
      await embed(request(input, { resume: true }));
      expect(await plainContents(space.path('out'))).toEqual(await undisturbed(request(input)));
    }
  });

  it('embeds nothing again if a file was only touched or copied', async () => {
    const input = await writeTexts(format, texts);
    await interrupted(request(input), 4);
    await cp(input, `${input}.copy`);
    await rename(`${input}.copy`, input);
    await utimes(input, new Date(0), new Date(0));
    const { computed } = await embed(request(input, { resume: true }));
    expect(computed.length).toBeLessThan(texts.length);
    expect(await plainContents(space.path('out'))).toEqual(await undisturbed(request(input)));
  });
});

describe.each(formats)('a finished run of %s', (format) => {
  it('recomputes only lost files', async () => {
    const input = await writeTexts(format, replaced(5, undefined));
    const wanted = request(input, { format: 'npy' });
    await embed(wanted);
    const whole = await plainContents(space.path('out'));
    const damage: Readonly<Record<string, (path: string) => Promise<void>>> = {
      'shard-00002.npy': rm,
      'shard-00001.npy': (path) => writeFile(path, 'cut'),
      'shard-00003.ids.jsonl': rm,
      'rejected.jsonl': rm,
    };
    for (const [file, spoil] of Object.entries(damage)) {
      await spoil(await listedFile(space.path('out'), file));
      expect((await verifyEmbeddings(space.path('out'))).damaged.map((each) => plainNames(each.file))).toEqual([file]);
      const { manifest, computed } = await embed({ ...wanted, resume: true });
      expect(manifest.complete).toBe(true);
      expect(computed.length).toBeLessThanOrEqual(4);
      expect(await plainContents(space.path('out'))).toEqual(whole);
    }
  });

  it('is verified with hashes on request', async () => {
    const wanted = request(await writeTexts(format, replaced(5, undefined)), { format: 'npy' });
    await embed(wanted);
    const whole = await plainContents(space.path('out'));
    const path = await listedFile(space.path('out'), 'shard-00003.npy');
    const flipped = await readFile(path);
    flipped[flipped.length - 1]! ^= 1;
    await writeFile(path, flipped);
    expect(await verifyEmbeddings(space.path('out'))).toMatchObject({
      files: 11,
      damaged: [{ file: basename(path), problem: 'damaged' }],
    });
    const { computed } = await embed({ ...wanted, resume: true, verify: true });
    expect(computed).toEqual(texts.slice(12, 16));
    expect(await plainContents(space.path('out'))).toEqual(whole);
    expect((await verifyEmbeddings(space.path('out'))).damaged).toEqual([]);
  });

  it('is not considered finished if its inputs have changed, even with the same size and time', async () => {
    const input = await writeTexts(format, texts);
    await embed(request(input));
    const before = await contents(space.path('out'));
    const { atime, mtime } = await stat(input);
    await writeTexts(format, replaced(9, 'texx 09'));
    await utimes(input, atime, mtime);
    await expect(embed(request(input, { resume: true }))).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringMatching(/has changed since .* was started\. `update` .*`overwrite`/) as string,
      details: { file: input },
    });
    expect(await contents(space.path('out'))).toEqual(before);
    const { computed } = await embed(request(input, { retryRejected: true }));
    expect(computed).toContain('texx 09');
    expect(computed.length).toBe(4);
    expect(await plainContents(space.path('out'))).toEqual(await undisturbed(request(input)));
  });

  it('is not changed by a resume if its inputs are unchanged', async () => {
    const input = await writeTexts(format, texts);
    await embed(request(input));
    const before = await contents(space.path('out'));
    for (const flags of [{ resume: true }, { resume: true, verify: true }, { retryRejected: true }]) {
      expect((await embed(request(input, flags))).computed).toEqual([]);
      expect(await contents(space.path('out'))).toEqual(before);
    }
  });
});

describe('standard input', () => {
  const piped = (rows: readonly string[]): { standardInput: Readable } => ({
    standardInput: Readable.from([rows.map((text) => `${JSON.stringify({ text, key: text })}\n`).join('')], {
      objectMode: false,
    }),
  });
  const wanted = (more: Partial<CorpusRequest> = {}): CorpusRequest => request('-', { inputFormat: 'jsonl', ...more });

  it('is read again by a resume, which requires the same data', async () => {
    const controller = new AbortController();
    const onEmbed = (some: readonly string[]): void => {
      if (some.includes(texts[9]!)) controller.abort();
    };
    const first = embedCorpus(wanted(), fakeEmbedder({ onEmbed }), { ...piped(texts), signal: controller.signal });
    await expect(first).rejects.toMatchObject({ code: 'aborted' });
    for (const other of [[], texts.slice(1), texts.map((text) => text.toUpperCase())]) {
      const resumed = embedCorpus(wanted({ resume: true }), fakeEmbedder(), piped(other));
      await expect(resumed).rejects.toMatchObject({
        code: 'invalid-output',
        message: expect.stringMatching(/Standard input has changed .*Pipe in the same data again/) as string,
      });
    }
    const manifest = await embedCorpus(wanted({ resume: true }), fakeEmbedder(), piped(texts));
    expect(manifest).toMatchObject({ complete: true, rows: 20 });
    const finished = embedCorpus(wanted({ resume: true }), fakeEmbedder(), piped(texts.slice(1)));
    await expect(finished).rejects.toMatchObject({ code: 'invalid-output', details: { file: '-' } });
    expect(await embedCorpus(wanted({ resume: true }), fakeEmbedder(), piped(texts))).toEqual(manifest);
    expect((await readdir(space.path('out'))).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe.each(formats)('an input of %s that changes during a run', (format) => {
  it.each([
    ['grows', [...texts, 'more']],
    ['shrinks', texts.slice(0, 19)],
    ['is replaced by one of its size', replaced(1, 'texx 01')],
  ])('and %s is detected at any stage, and a resume compares the content', async (_change, second) => {
    for (const done of [0, 3]) {
      await rm(space.path('out'), { recursive: true, force: true });
      const input = await writeTexts(format, texts);
      const { run, chunks } = await prepared(request(input));
      for (const chunk of chunks.slice(0, done)) await embedChunk(chunk, run, fakeEmbedder());
      await rm(input);
      await writeTexts(format, second);
      const goOn = async (): Promise<unknown> => {
        for (const chunk of chunks.slice(done)) await embedChunk(chunk, run, fakeEmbedder());
        return commitCorpus(run);
      };
      await expect(goOn()).rejects.toMatchObject({
        code: 'invalid-corpus',
        message: expect.stringContaining('has changed during the run') as string,
        details: { file: input },
      });
      expect(JSON.parse(await readFile(space.path('out/manifest.json'), 'utf8'))).toMatchObject({ complete: false });
      await embed(request(input, { resume: true }));
      expect(await plainContents(space.path('out'))).toEqual(await undisturbed(request(input)));
    }
  });

  it('with the same size and modification time is detected by its content', async (context) => {
    context.skip(format === 'gzip', 'what is embedded is a copy; a compressed source of other texts has another size');
    const input = await writeTexts(format, texts);
    const time = new Date(1_700_000_000_000);
    await utimes(input, time, time);
    const { run, chunks } = await prepared(request(input));
    for (const chunk of chunks) await embedChunk(chunk, run, fakeEmbedder());
    await writeTexts(format, replaced(1, 'texx 01'));
    await utimes(input, time, time);
    await expect(commitCorpus(run)).rejects.toMatchObject({ code: 'invalid-corpus', details: { file: input } });
    await writeTexts(format, texts);
    await utimes(input, time, time);
    expect(await commitCorpus(run)).toMatchObject({ complete: true, rows: 20 });
  });
});

describe('several runs for one folder', () => {
  it('that start at the same time: one succeeds, and the others are refused', async () => {
    for (let time = 0; time < 5; time += 1) {
      const inputs = await Promise.all(
        ['a', 'b', 'c', 'd'].map((name) =>
          space.write(
            `${name}.jsonl`,
            texts.map((text) => `${JSON.stringify({ text: name + text, key: name })}\n`).join(''),
          ),
        ),
      );
      const output = space.path(`shared-${time}`);
      const results = await Promise.allSettled(
        inputs.map((input) => embedCorpus(request(input, { output, overwrite: time > 2 }), fakeEmbedder())),
      );
      const winners = results.filter(({ status }) => status === 'fulfilled').length;
      const others = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
      // A later run may overwrite the first one.
      expect(winners).toBeLessThanOrEqual(time > 2 ? 4 : 1);
      expect(winners).toBeGreaterThanOrEqual(1);
      expect(others).toEqual(others.map(() => expect.objectContaining({ code: 'invalid-output' }) as unknown));
      const embeddings = await openEmbeddings(output);
      const ids = [];
      const names = new Set<string>();
      for await (const batch of embeddings.batches()) {
        ids.push(...batch.ids);
        for (const text of batch.texts!) names.add(text[0]!);
      }
      expect(ids).toEqual(texts.map((_, row) => row));
      expect([...names]).toEqual([embeddings.manifest.inputs[0]!.file.at(-'.jsonl'.length - 1)]);
      expect((await readdir(output)).filter((name) => name.startsWith('.'))).toEqual([]);
    }
  });

  it.each([
    ['is refused', {}, 'after', 'invalid-output'],
    ['does not overwrite', { overwrite: true }, 'after', 'invalid-output'],
    ['finds everything done', { resume: true }, 'after', 'finished: true'],
    ['joins the run that is going on', { resume: true }, 'during', 'finished: false'],
  ] as const)('a process that sleeps through its preparation %s when it wakes up', async (_does, flags, wakes, end) => {
    const input = await writeTexts('jsonl', replaced(5, undefined));
    let wake = (): void => {};
    const asleep = new Promise<void>((resolve) => {
      wake = resolve;
    });
    // The int8 ranges are measured last in the preparation.
    const onEmbed = (some: readonly string[]): Promise<void> | undefined => (some.length > 1 ? asleep : undefined);
    const late = prepareCorpus(request(input, { precision: 'int8', ...flags }), fakeEmbedder({ onEmbed })).then(
      ({ finished }) => `finished: ${finished}`,
      ({ code }: { code: string }) => code,
    );
    const wanted = request(input, { precision: 'int8' });
    const { run, chunks } = await prepared(wanted);
    for (const chunk of chunks.slice(0, 3)) await embedChunk(chunk, run, fakeEmbedder());
    if (wakes === 'during') wake();
    const during = await Promise.race([late, wakes === 'during' ? late : 'asleep']);
    for (const chunk of chunks) await embedChunk(chunk, run, fakeEmbedder());
    await commitCorpus(run);
    const whole = await undisturbed(wanted);
    expect(await plainContents(space.path('out'))).toMatchObject(whole);
    wake();
    expect([during, await late]).toEqual([wakes === 'during' ? end : 'asleep', end]);
    expect(await plainContents(space.path('out'))).toEqual(whole);
  });

  it('the next run on this machine deletes the leftovers of a killed preparation, and nothing else', async () => {
    const input = await writeTexts('jsonl', texts);
    await space.write('out/.preparing-dead/dead/owner.json', '{"host":"elsewhere","pid":1}');
    await space.write('out/.discarded-0/run.json', '{}');
    await embed(request(input));
    expect((await readdir(space.path('out'))).filter((name) => name.startsWith('.'))).toEqual(['.preparing-dead']);
    expect(await readRejected(space.path('out'))).toEqual([]);
    expect(await readdir(join(space.path('out'), '.preparing-dead'))).toEqual(['dead']);
  });
});
