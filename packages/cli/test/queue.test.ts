import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { goldenPath, startRedis, type RedisServer } from '@sentvec/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finished, Workplace } from './sentvec.ts';

const place = new Workplace();
const model = goldenPath('models/tiny-bert');
let redis: RedisServer;
let worker: ChildProcessWithoutNullStreams;
let stopWorker: () => Promise<{ code: number | null; stderr: string }>;

beforeAll(async () => {
  redis = await startRedis();
  worker = place.start([
    'worker',
    '--redis',
    redis.url,
    '--root',
    place.directory,
    '--model',
    model,
    '--port',
    '0',
    '--threads',
    '1',
  ]);
  const ended = finished(worker);
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: worker.stderr }).on('line', (line) => line.includes('"serving"') && resolve());
    void ended.then(({ stderr }) => reject(new Error(stderr)));
  });
  stopWorker = async () => {
    worker.kill('SIGTERM');
    return ended;
  };
});

afterAll(async () => {
  await stopWorker();
  await redis.stop();
});

/** Runs `sentvec queue …` against the Redis of this test. */
const queue = (...words: string[]) => place.succeed(['queue', ...words, '--redis', redis.url]);
const json = async (...words: string[]) => JSON.parse(await queue(...words, '--json')) as Record<string, unknown>;

describe('sentvec queue', () => {
  it('submits a corpus, watches the run, and has the same output as sentvec embed', async () => {
    await place.writeRows('rows.jsonl', [{ text: 'first' }, { text: 'second' }, { text: 3 }]);
    const id = (await queue('submit', 'rows.jsonl', '--output', 'there', '--model', model)).trim();
    expect(await json('watch', id)).toMatchObject({
      id,
      state: 'completed',
      total: { rows: 2, rejected: 1 },
      deadLetters: [{ reference: `${place.path('rows.jsonl')}#2` }],
    });
    await place.succeed(['embed', place.path('rows.jsonl'), '--output', 'here', '--model', model]);
    expect(await place.hashes('there')).toEqual(await place.hashes('here'));
    expect(await queue('list')).toMatch(new RegExp(`${id} +embed-corpus +completed +100 % +2 +1 `));
    const status = await queue('status', id);
    expect(status).toMatch(/state +completed/);
    expect(status).toContain(`${place.path('rows.jsonl')}#2: `);

    await place.writeRows('rows.jsonl', [{ text: 'first' }, { text: 'second' }, { text: 'third' }]);
    await queue('replay', id);
    expect(await json('watch', id)).toMatchObject({
      state: 'completed',
      attempt: 2,
      total: { rows: 3, rejected: 0 },
      deadLetters: [],
    });
  });

  it('goes on without chunks that fail, shows them, and completes when they were replayed', async () => {
    const rows = Array.from({ length: 12 }, (_, row) => ({
      text: row === 4 || row === 9 ? (7 as never) : `row ${row}`,
    }));
    await place.writeRows('some.jsonl', rows);
    const flags = ['--model', model, '--shard-rows', '3', '--strict'];
    const run = (...words: string[]) => place.run(['queue', ...words, '--redis', redis.url]);
    const few = (await queue('submit', 'some.jsonl', '-o', 'some', ...flags, '--max-failed', '1')).trim();
    const failed = await run('watch', few);
    expect([failed.code, failed.stdout]).toEqual([1, expect.stringContaining('at most 1 may (--max-failed)')]);
    const id = (await queue('submit', 'some.jsonl', '-o', 'some', ...flags, '--max-failed', '50%')).trim();
    const watched = await run('watch', id);
    expect(watched.code).toBe(5);
    expect(watched.stdout).toMatch(/state +incomplete\n/);
    expect(watched.stdout).toContain(`failed items  2, see: sentvec queue failed ${id}`);
    const items = JSON.parse(await queue('failed', id, '--json')) as readonly Record<string, unknown>[];
    const file = place.path('some.jsonl');
    expect(items).toMatchObject(
      [1, 3].map((chunk) => ({
        id: `embed#${chunk}`,
        reference: expect.stringContaining(`${file}#${3 * chunk}-${3 * chunk + 2} (bytes `),
        attempts: 1,
        worker: expect.stringContaining(String(worker.pid)),
        error: { code: 'invalid-corpus', message: expect.stringContaining(`${file}, row ${chunk === 1 ? 4 : 9}`) },
      })),
    );
    const table = await queue('failed', id);
    expect(table).toMatch(/^item +input +attempts +worker +failed +reason/);
    expect(table).toMatch(new RegExp(`embed#1 .*${file}#3-5 .*invalid-corpus: `));
    expect((await place.run(['search', 'some', 'row', '--model', model])).stderr).toContain('are not complete');
    expect((await run('replay', id, '--item', 'embed#2')).stderr).toContain('has no failed item "embed#2"');

    // Nothing was mended: only one of them is tried, and both are still there.
    await queue('replay', id, '--item', 'embed#3');
    expect((await run('watch', id)).code).toBe(5);
    expect(JSON.parse(await queue('failed', id, '--json'))).toMatchObject([items[0], { id: 'embed#3', attempts: 1 }]);
    expect((await place.run(['embed', file, '-o', 'local', ...flags, '--max-failed', '2'])).code).toBe(5);

    await place.writeRows(
      'some.jsonl',
      rows.map((_, row) => ({ text: `row ${row}` })),
    );
    await queue('replay', id);
    expect(await json('watch', id)).toMatchObject({ state: 'completed', attempt: 3, items: { done: 4 } });
    expect(await queue('failed', id)).toContain('Nothing failed for good.');
    await place.succeed(['embed', file, '-o', 'local', ...flags, '--resume']);
    await place.succeed(['embed', file, '-o', 'undisturbed', ...flags]);
    const hashes = await place.hashes('undisturbed');
    expect(await place.hashes('some')).toEqual(hashes);
    expect(await place.hashes('local')).toEqual(hashes);
  }, 120_000);

  it('schedules updates, lists the schedule and removes it', async () => {
    const rows = [
      { id: 'a', text: 'first' },
      { id: 'b', text: 'second' },
    ];
    await place.writeRows('nightly.jsonl', rows);
    const flags = ['--id', 'id', '--model', model];
    const submit = ['submit', 'nightly.jsonl', '--output', 'nightly', ...flags];
    const when = ['--every', '*/2 * * * * *', '--time-zone', 'UTC'];
    expect((await queue(...submit, '--name', 'nightly', ...when)).trim()).toBe('nightly');
    interface Listed {
      readonly name: string;
      readonly last?: { readonly run: string };
    }
    const latest = async () => (JSON.parse(await queue('schedules', '--json')) as Listed[])[0]?.last?.run;
    const whole = async () => {
      await place.succeed(['embed', place.path('nightly.jsonl'), '--output', 'anew', ...flags, '--overwrite']);
      return place.hashes('anew');
    };
    await expect.poll(latest, { timeout: 20_000 }).toMatch(/^nightly-\d{8}T\d{6}Z$/);
    expect(await json('watch', (await latest())!)).toMatchObject({ state: 'completed' });
    const first = await whole();
    await expect.poll(() => place.hashes('nightly'), { timeout: 20_000 }).toEqual(first);
    await place.writeRows('nightly.jsonl', [...rows.slice(1), { id: 'c', text: 'third' }]);
    const expected = await whole();
    await expect.poll(() => place.hashes('nightly'), { timeout: 30_000 }).toEqual(expected);
    expect(await queue('schedules')).toMatch(/nightly +\*\/2 \* \* \* \* \* +UTC +\S/);
    const last = (await latest())!;
    expect(await queue('status', last)).toMatch(/next run +\S.*of the schedule nightly|ended/);
    expect(await queue('unschedule', 'nightly')).toContain('The schedule nightly was removed.');
    expect((await queue('schedules')).trim()).toBe('No schedules.');
    for (const [words, problem] of [
      [['unschedule', 'nightly'], /There is no schedule nightly/],
      [[...submit, '--every', '0 3 * * *'], /--every needs --name/],
      [[...submit, '--name', 'x'], /--name needs --every/],
      [
        [...submit, '--name', 'x', '--every', 'daily'],
        /"daily" is not a valid cron expression, or never matches\. Examples for --every/,
      ],
      [[...submit, '--name', 'x', '--every', '0 3 * * *', '--resume'], /each run is an update/],
    ] as const)
      expect((await place.run(['queue', ...words, '--redis', redis.url])).stderr).toMatch(problem);
  }, 120_000);

  it('never returns an outdated result for a request', async () => {
    const rows = [{ text: 'first' }, { text: 'second' }];
    await place.writeRows('again.jsonl', rows);
    const submit = async (...more: string[]) =>
      (await queue('submit', 'again.jsonl', '--output', 'again', '--model', model, ...more)).trim();
    const watch = async (id: string) => json('watch', id);
    const first = await submit();
    expect(await watch(first)).toMatchObject({ state: 'completed', total: { rows: 2 } });
    const expected = await place.hashes('again');
    await rm(place.path('again'), { recursive: true });
    const second = await submit();
    expect(second).not.toBe(first);
    expect(await watch(second)).toMatchObject({ state: 'completed', total: { rows: 2 } });
    expect(await place.hashes('again')).toEqual(expected);
    const third = await submit();
    const inTheWay = await place.run(['queue', 'watch', third, '--redis', redis.url]);
    expect([inTheWay.code, inTheWay.stdout]).toEqual([1, expect.stringContaining('--overwrite')]);
    await place.writeRows('again.jsonl', [...rows, { text: 'third' }]);
    expect(await watch(await submit('--overwrite'))).toMatchObject({ state: 'completed', total: { rows: 3 } });
    expect(await watch(await submit('--overwrite'))).toMatchObject({ state: 'completed', total: { rows: 3 } });
  });

  it('returns the same run for the same --run-id and request, and refuses another request', async () => {
    await place.writeRows('keyed.jsonl', [{ text: 'first' }]);
    const submit = (output: string) =>
      place.run([
        'queue',
        'submit',
        'keyed.jsonl',
        '-o',
        output,
        '--model',
        model,
        '--run-id',
        'keyed',
        '--redis',
        redis.url,
      ]);
    expect((await submit('keyed')).stdout.trim()).toBe('keyed');
    await json('watch', 'keyed');
    expect((await submit('keyed')).stdout.trim()).toBe('keyed');
    expect(await json('status', 'keyed')).toMatchObject({ state: 'completed', attempt: 1 });
    expect(await submit('other')).toMatchObject({ code: 2, stderr: expect.stringContaining('another input') });
  });

  it('refuses a second run for the same output folder', async () => {
    await place.writeRows(
      'wide.jsonl',
      Array.from({ length: 2000 }, (_, row) => ({ text: `Row ${row}.` })),
    );
    const flags = ['--model', model, '--redis', redis.url];
    worker.kill('SIGSTOP');
    const submits = await Promise.all(
      ['100', '200'].map((rows) =>
        place.run(['queue', 'submit', 'wide.jsonl', '-o', 'wide', '--shard-rows', rows, ...flags]),
      ),
    );
    worker.kill('SIGCONT');
    const told = submits.find(({ code }) => code !== 0);
    const accepted = submits.find(({ code }) => code === 0);
    expect(told!.stderr).toContain(`Run ${accepted!.stdout.trim()} is writing to ${place.path('wide')}`);
    expect(await json('watch', accepted!.stdout.trim())).toMatchObject({ state: 'completed', total: { rows: 2000 } });
  });

  it('pauses, resumes and cancels', async () => {
    await place.writeRows(
      'many.jsonl',
      Array.from({ length: 20_000 }, (_, row) => ({ text: `Row ${row} of many, so that there is time.` })),
    );
    const id = (
      await queue('submit', 'many.jsonl', '--output', 'many', '--model', model, '--shard-rows', '200')
    ).trim();
    expect(await json('pause', id)).toMatchObject({ state: 'paused' });
    expect(await json('resume', id)).toMatchObject({ state: 'running' });
    expect(await json('cancel', id)).toMatchObject({ state: 'cancelled' });
    const watched = await place.run(['queue', 'watch', id, '--redis', redis.url]);
    expect(watched.code).toBe(1);
    expect(watched.stdout).toMatch(/state +cancelled/);
    const resumed = await place.run(['queue', 'resume', id, '--redis', redis.url]);
    expect([resumed.code, resumed.stderr]).toEqual([2, expect.stringContaining(`sentvec queue replay ${id}`)]);
  });

  it('waits for the weights that a run asks for, says so, and ends the watching when it was told to', async () => {
    await place.writeRows('wanted.jsonl', [{ text: 'first' }]);
    const submit = ['submit', 'wanted.jsonl', '--output', 'wanted', '--model', model];
    const id = (await queue(...submit, '--fingerprint', '0123456789ab')).trim();
    const watched = await place.run(['queue', 'watch', id, '--max-idle', '1', '--redis', redis.url]);
    expect(watched.code).toBe(4);
    expect(watched.stdout).toMatch(/state +queued/);
    expect(watched.stdout).toMatch(/model +\S+tiny-bert 0123456789ab/);
    expect(watched.stdout).toMatch(
      /with fingerprint 0123456789ab: no live worker serves it\. They have it: with [0-9a-f]{12}/,
    );
    await queue('cancel', id);
    const [{ models }] = JSON.parse(await queue('workers', '--json')) as [{ models: [{ fingerprint: string }] }];
    const served = (await queue(...submit, '--fingerprint', models[0].fingerprint.slice(0, 12))).trim();
    expect(await json('watch', served)).toMatchObject({
      state: 'completed',
      model: { fingerprint: models[0].fingerprint },
    });
  });

  it('starts a workflow by its id, and lists the workers', async () => {
    expect(await queue('workers')).toMatch(
      /worker +models +workflows +steps +since +set aside\n\S+ +\S+tiny-bert [0-9a-f]{12} \(onnx.*\) +embed-corpus +\d of 2 /,
    );
    await place.writeRows('some.jsonl', [{ text: 'first' }]);
    const request = { inputs: [place.path('some.jsonl')], output: place.path('started') };
    const id = (await queue('start', 'embed-corpus', JSON.stringify({ model, request }))).trim();
    expect(await json('watch', id)).toMatchObject({ state: 'completed', total: { rows: 1 } });
    const wrong = (await queue('start', 'embed-corpus', '{"model": 7}')).trim();
    expect(await json('status', wrong)).toMatchObject({ workflow: 'embed-corpus' });
    const watched = await place.run(['queue', 'watch', wrong, '--redis', redis.url]);
    expect([watched.code, watched.stdout]).toEqual([1, expect.stringMatching(/error +The input of workflow/)]);
    const starts = [[], [], ['--run-id', 'pages-1'], ['--run-id', 'pages-1']];
    const ids = [];
    for (const more of starts) ids.push((await queue('start', 'pages', '{}', '--queue', 'nobody', ...more)).trim());
    expect(new Set(ids).size).toBe(3);
    expect(ids.slice(2)).toEqual(['pages-1', 'pages-1']);
    const waiting = place.start(['queue', 'start', 'embed-corpus', '-', '--redis', redis.url]);
    setTimeout(() => waiting.kill('SIGINT'), 3000);
    expect((await finished(waiting)).code).toBe(130);
    const notJson = await place.run(['queue', 'start', 'embed-corpus', '{model}', '--redis', redis.url]);
    expect([notJson.code, notJson.stderr]).toEqual([2, expect.stringContaining('not JSON')]);
  });

  it('reports that no worker serves a run', async () => {
    const nobody = ['--queue', 'nobody'];
    const submitted = await place.run([
      'queue',
      'start',
      'pages',
      '{"folder": "/data"}',
      '--redis',
      redis.url,
      ...nobody,
    ]);
    expect(submitted.stderr).toContain('No worker serves this queue.');
    const id = submitted.stdout.trim();
    expect(await queue('status', id, ...nobody)).toMatch(/note +No worker serves this queue\./);
    expect(await queue('workers', ...nobody)).toContain('sentvec worker');
    const watching = place.start(['queue', 'watch', id, '--redis', redis.url, ...nobody]);
    const end = finished(watching);
    await new Promise<void>((resolve) => {
      createInterface({ input: watching.stderr }).on('line', (line) => line.includes('No worker') && resolve());
    });
    watching.kill('SIGINT');
    expect((await end).stderr).toContain('No worker serves this queue.');
  });

  it('refuses invalid arguments with the reason', async () => {
    const failure = async (words: string[]) => {
      const { code, stderr } = await place.run(words);
      return [code, stderr.split('\n')[0]];
    };
    const flags = ['--redis', redis.url];
    expect(await failure(['queue', 'status', 'nobody', ...flags])).toEqual([
      1,
      expect.stringContaining('no run nobody'),
    ]);
    expect(await failure(['queue', 'status', 'one', 'two', ...flags])).toEqual([
      2,
      expect.stringContaining('the id of one run'),
    ]);
    expect(await failure(['queue', 'submit', '-', '-o', 'x', ...flags])).toEqual([
      2,
      expect.stringContaining('standard input'),
    ]);
    expect(await failure(['queue', 'list', '--redis', 'redis://127.0.0.1:1'])).toEqual([
      1,
      expect.stringMatching(/No Redis at .*127\.0\.0\.1:1/),
    ]);
    expect(await failure(['worker', '--host', '0.0.0.0'])).toEqual([2, expect.stringContaining('--token')]);
    const id = (await queue('submit', 'rows.jsonl', '--output', '/elsewhere', '--model', model)).trim();
    const refused = await place.run(['queue', 'watch', id, ...flags]);
    expect([refused.code, refused.stdout]).toEqual([
      1,
      expect.stringMatching(/error +The path "\/elsewhere" is outside/),
    ]);
  });

  it('continues watching after a lost connection', async () => {
    // This keeps the run active until it is being watched.
    worker.kill('SIGSTOP');
    const rows = Array.from({ length: 2000 }, (_, row) => ({ text: `Row ${row} of some.` }));
    await place.writeRows('lost.jsonl', rows);
    const id = (
      await queue('submit', 'lost.jsonl', '--output', 'lost', '--model', model, '--shard-rows', '500')
    ).trim();
    const watching = place.start(['queue', 'watch', id, '--redis', redis.url, '--json']);
    const end = finished(watching);
    await new Promise<void>((resolve) => {
      createInterface({ input: watching.stderr }).on('line', (line) => line.includes('Watching run') && resolve());
    });
    await redis.kill();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await redis.restart();
    worker.kill('SIGCONT');
    const { code, stdout, stderr } = await end;
    expect(JSON.parse(stdout)).toMatchObject({ id, state: 'completed', total: { rows: 2000 } });
    expect(code).toBe(0);
    expect(stderr).toMatch(/lost[\s\S]*back/);
  });

  it('stops the worker at SIGTERM', async () => {
    const { code, stderr } = await stopWorker();
    expect([code, stderr]).toEqual([0, expect.stringContaining('"msg":"stopped"')]);
  });
});
