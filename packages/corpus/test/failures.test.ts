import { execFile, spawn } from 'node:child_process';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { embedCorpus, openEmbeddings, type CorpusRequest } from '@sentvec/corpus';
import type { MaxFailed } from '@sentvec/platform';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder } from './fake-embedder.ts';
import { reasonWithoutTmpfs } from './tmpfs.ts';
import { contents, workspace } from './workspace.ts';

const space = workspace();
const run = promisify(execFile);
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

async function corpus(rows: number): Promise<string> {
  return space.write(
    'corpus.jsonl',
    Array.from({ length: rows }, (_, row) => `${JSON.stringify({ text: `text number ${row}` })}\n`).join(''),
  );
}

/** Whether the manifest exists, that is, whether the output is complete. */
async function isComplete(output: string): Promise<boolean> {
  return (JSON.parse(await readFile(`${output}/manifest.json`, 'utf8')) as { complete: boolean }).complete;
}

interface ProcessFailure {
  readonly stderr: string;
}

/** Embeds in a separate process. @returns the error as a plain object */
async function failing(request: CorpusRequest, shell: string): Promise<{ code: string; message: string }> {
  const command = `${shell} exec "$0" "$@"`;
  const args = ['-c', command, process.execPath, script('embed-process.mjs'), JSON.stringify(request), '0'];
  const { stderr } = await run('sh', args).then(
    () => ({ stderr: '{"code":"none","message":"it did not fail"}' }),
    (error: ProcessFailure) => error,
  );
  return JSON.parse(stderr) as { code: string; message: string };
}

describe('chunks that fail', () => {
  it('are left out, up to a number or share, of an output that is never taken for complete', async () => {
    const whole = await corpus(50);
    const rows = (await readFile(whole, 'utf8')).trimEnd().split('\n');
    const bad = (row: string, index: number): string => (index === 12 || index === 34 ? '{"text": ' : row);
    const input = await space.write('bad.jsonl', rows.map((row, index) => `${bad(row, index)}\n`).join(''));
    const request = { inputs: [input], output: space.path('out'), chunkRows: 10, strict: true };
    const embedder = fakeEmbedder();
    const embed = (maxFailed: MaxFailed, more: Partial<CorpusRequest> = {}) =>
      embedCorpus({ ...request, ...more }, embedder, { maxFailed });
    for (const maxFailed of [1, '39%'] as const)
      await expect(embed(maxFailed, { overwrite: true })).rejects.toMatchObject({
        code: 'invalid-corpus',
        message: expect.stringMatching(
          new RegExp(`^2 chunks failed, and at most ${maxFailed} may \\(\`maxFailed\`\\)\\.`),
        ),
      });
    await expect(embed('101%')).rejects.toMatchObject({ code: 'invalid-argument' });
    for (const maxFailed of [2, '40%'] as const)
      await expect(embed(maxFailed, { overwrite: true })).rejects.toMatchObject({
        code: 'incomplete',
        message: expect.stringMatching(
          /^2 of 5 chunks failed, so .*out is not complete\. .*bad\.jsonl#10-19 \(bytes \d+ to/,
        ),
        details: {
          failed: 2,
          chunks: 5,
          failedChunks: [10, 30].map((row) => ({
            reference: expect.stringContaining(`${input}#${row}-${row + 9} (bytes `),
            code: 'invalid-corpus',
          })),
        },
      });
    expect(await isComplete(request.output)).toBe(false);
    await expect(openEmbeddings(request.output)).rejects.toMatchObject({ code: 'invalid-output' });
    await expect(embed(1, { resume: true })).rejects.toMatchObject({ code: 'invalid-corpus' });

    await space.write('bad.jsonl', rows.map((row) => `${row}\n`).join(''));
    await embed(0, { resume: true });
    await embedCorpus({ ...request, output: space.path('anew') }, embedder);
    expect(await contents(request.output)).toEqual(await contents(space.path('anew')));
  });
});

describe('an output folder', () => {
  it.skipIf(reasonWithoutTmpfs !== undefined)(
    `on a full disk is an error that says what to do, and the run goes on when there is room (${reasonWithoutTmpfs ?? 'full disk'})`,
    async () => {
      const input = await corpus(20_000);
      await mkdir(space.path('small'));
      await mkdir(space.path('kept'));
      // Use a separate mount namespace, so that nothing stays mounted. The written files are copied out.
      const mount = `mount -t tmpfs -o size=3m tmpfs ${space.path('small')};`;
      const request = { inputs: [input], output: space.path('small/out'), chunkRows: 1000 };
      const command = `${mount} "$0" "$@"; code=$?; cp -a ${space.path('small/out')} ${space.path('kept')}; exit $code`;
      const args = [
        '-m',
        'sh',
        '-c',
        command,
        process.execPath,
        script('embed-process.mjs'),
        JSON.stringify(request),
        '0',
      ];
      const { stderr } = await run('unshare', args).then(
        () => ({ stderr: '{}' }),
        (error: ProcessFailure) => error,
      );
      expect(JSON.parse(stderr)).toMatchObject({
        code: 'io-failed',
        message: expect.stringMatching(
          /ENOSPC.*The disk is full\. Free some space\. Then continue with `resume`/,
        ) as string,
        // The file that no longer fits depends on the file system: it is a shard or the record of a finished chunk.
        details: { file: expect.stringMatching(/shard-|chunks\//) as string },
      });
      const output = space.path('kept/out');
      const files = Object.keys(await contents(output));
      expect(files.filter((name) => name.startsWith('shard-')).length).toBeGreaterThan(2);
      expect(files.filter((name) => name.includes('/temporary/'))).toEqual([]);
      expect(await isComplete(output)).toBe(false);
      await run(process.execPath, [
        script('embed-process.mjs'),
        JSON.stringify({ ...request, output, resume: true }),
        '0',
      ]);
      await run(process.execPath, [
        script('embed-process.mjs'),
        JSON.stringify({ ...request, output: space.path('undisturbed') }),
        '0',
      ]);
      expect(await contents(output)).toEqual(await contents(space.path('undisturbed')));
    },
  );

  it.skipIf(process.platform === 'win32')(
    'leaves nothing half-written under a final name (skipped on Windows, which has no ulimit)',
    async () => {
      const input = await corpus(3000);
      const output = space.path('out');
      // The limit is 64 blocks of 512 bytes per file: the files of the run fit, but a shard of 1,000 vectors does not.
      const error = await failing({ inputs: [input], output, chunkRows: 1000 }, 'ulimit -f 64;');
      expect(error).toMatchObject({
        code: 'io-failed',
        message: expect.stringMatching(/shard-0000\d\.parquet \(EFBIG\)/) as string,
      });
      expect(
        Object.keys(await contents(output)).filter((name) => name.startsWith('shard-') || name.includes('/temporary/')),
      ).toEqual([]);
      expect(await isComplete(output)).toBe(false);
      await expect(openEmbeddings(output)).rejects.toMatchObject({
        code: 'invalid-output',
        message: expect.stringContaining('not complete') as string,
      });
    },
  );

  it.skipIf(process.getuid?.() === 0)(
    'may be closed to this user (skipped for root, to whom nothing is closed)',
    async () => {
      const input = await corpus(10);
      await mkdir(space.path('closed'));
      await chmod(space.path('closed'), 0o555);
      const request = { inputs: [input], output: space.path('closed/out') };
      await expect(embedCorpus(request, fakeEmbedder())).rejects.toMatchObject({
        code: 'io-failed',
        message: expect.stringMatching(/EACCES.*Permission was denied/) as string,
      });
      await chmod(input, 0);
      await expect(embedCorpus({ inputs: [input], output: space.path('out') }, fakeEmbedder())).rejects.toMatchObject({
        code: 'io-failed',
      });
    },
  );

  it('is refused if its path is a file', async () => {
    await space.write('file', 'not a folder');
    const request = { inputs: [await corpus(10)], output: space.path('file/out') };
    await expect(embedCorpus(request, fakeEmbedder())).rejects.toMatchObject({
      code: 'invalid-output',
      message: expect.stringContaining('file/out') as string,
    });
  });
});

describe('a process that is killed', () => {
  it('at any time can be resumed, with byte-identical output to an undisturbed run', async () => {
    const request = {
      inputs: [await corpus(6000)],
      output: space.path('out'),
      chunkRows: 250,
      precision: 'uint8' as const,
    };
    await run(process.execPath, [
      script('embed-process.mjs'),
      JSON.stringify({ ...request, output: space.path('undisturbed') }),
      '0',
    ]);
    for (const rowsBefore of [0, 400, 2500, 5000]) {
      await killAfter(rowsBefore, { ...request, resume: true });
      expect(await isComplete(request.output)).toBe(false);
    }
    await run(process.execPath, [script('embed-process.mjs'), JSON.stringify({ ...request, resume: true }), '0']);
    expect(await contents(request.output)).toEqual(await contents(space.path('undisturbed')));
  });
});

/** Starts a process that embeds, and kills it with SIGKILL when it has finished a number of rows. */
async function killAfter(rowsBefore: number, request: CorpusRequest): Promise<void> {
  const child = spawn(process.execPath, [script('embed-process.mjs'), JSON.stringify(request), '20'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  for await (const block of child.stdout) {
    const counts = String(block).trim().split('\n').map(Number);
    if (Math.max(...counts) >= rowsBefore) child.kill('SIGKILL');
  }
  await gone;
}

describe('memory', () => {
  it('at the end of the run is within 10 % of that at row 50,000', async () => {
    const { stdout } = await run(process.execPath, [script('memory.mjs'), '120000']);
    const measured = JSON.parse(stdout) as { rows: number; ratio: number; megabytes: { atEnd: number } };
    expect(measured.rows).toBe(120_000);
    expect(measured.ratio).toBeLessThan(1.1);
    expect(measured.megabytes.atEnd).toBeLessThan(700);
  });
});
