import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { onnx } from '@sentvec/backend-onnx';
import { memoryModel, SentvecError, type Encoder, type TokenBatch } from '@sentvec/core';
import { goldenModel } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { onnxModel } from './onnx-models.ts';

const batch: TokenBatch = { ids: Int32Array.of(1, 2), mask: Int32Array.of(1, 1), rows: 1, cols: 2 };

describe('a worker thread that ends', () => {
  it('is replaced', async () => {
    const { encoder, workers } = await loadAndCatchWorkers();
    expect(workers.length).toBe(2);
    for (const worker of workers.slice()) await worker.terminate();
    // Fewer than open a session of several threads for lone batches.
    for (let call = 0; call < 4; call += 1) expect((await encoder.encode(batch)).rows).toBe(2);
    // They are started one after another.
    await expect.poll(() => workers.length).toBe(4);
    await encoder.dispose();
  });

  it('again and again is not replaced any more, and its batches fail instead of hanging', async () => {
    const { encoder, workers } = await loadAndCatchWorkers();
    for (let repetition = 0; repetition < 12; repetition += 1) {
      await Promise.all(workers.splice(0).map((worker) => worker.terminate()));
      await pause(20);
    }
    const failure: unknown = await encoder.encode(batch).catch((error: unknown) => error);
    expect(SentvecError.is(failure, 'backend-failed')).toBe(true);
    await encoder.dispose();
  });

  /** An encoder of two sessions, and the worker threads that were started for it so far. */
  async function loadAndCatchWorkers(): Promise<{ encoder: Encoder; workers: Worker[] }> {
    const workers: Worker[] = [];
    const ready: Promise<unknown>[] = [];
    process.on('worker', (worker) => {
      workers.push(worker);
      // It asks for its specification, then it is ready.
      ready.push(once(worker, 'message').then(() => once(worker, 'message')));
    });
    const encoder = await onnx({ sessions: 2 }).load(memoryModel('m', { 'model.onnx': onnxModel() }));
    await Promise.all([encoder.encode(batch), encoder.encode(batch)]);
    await Promise.all(ready);
    await pause(10); // The pool has taken them.
    return { encoder, workers };
  }
});

const imports = `
  import { onnx } from ${JSON.stringify(import.meta.resolve('@sentvec/backend-onnx'))};
  import { directoryModel, loadEmbedder } from ${JSON.stringify(import.meta.resolve('@sentvec/core/node'))};
  const folder = ${JSON.stringify(goldenModel('tiny-bert').directory)};
`;

function run(program: string): Promise<{ code: unknown; output: string }> {
  const args = ['--input-type=module', '--eval', imports + program];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: 50_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), output: stdout + stderr });
    });
  });
}

/** Runs a program that has an `encoder` of tiny-bert and a `batch` of 32 × 32 tokens. */
function runProgram(body: string): Promise<{ code: unknown; output: string }> {
  return run(`
    const encoder = await onnx({ sessions: 2 }).load(await directoryModel(folder));
    const batch = { ids: new Int32Array(1024).fill(5), mask: new Int32Array(1024).fill(1), rows: 32, cols: 32 };
    ${body}
  `);
}

/** Runs a program that has an `embedder` of tiny-bert and 20,000 `texts`, more than it embeds before a timer fires. */
function runEmbedder(body: string): Promise<{ code: unknown; output: string }> {
  return run(`
    const embedder = await loadEmbedder(folder, { backend: onnx() });
    const texts = Array.from({ length: 20_000 }, (_, row) => 'a text with the number ' + row);
    ${body}
  `);
}

describe('a program', () => {
  it('ends after dispose', async () => {
    expect(await runProgram(`await encoder.encode(batch); await encoder.dispose();`)).toEqual({ code: 0, output: '' });
  });

  it('ends without dispose', async () => {
    expect(await runProgram(`await encoder.encode(batch);`)).toEqual({ code: 0, output: '' });
  });

  it('does not end before its batches are done', async () => {
    const { code, output } = await runProgram(`void encoder.encode(batch).then(({ rows }) => console.log(rows));`);
    expect({ code, output: output.trim() }).toEqual({ code: 0, output: '1024' });
  });

  it.each([0, 5, 20])('may exit while threads compute (%i ms after they begin)', async (delay) => {
    const body = `for (let i = 0; i < 2000; i += 1) void encoder.encode(batch).catch(() => {}); setTimeout(() => process.exit(7), ${delay});`;
    expect(await runProgram(body)).toEqual({ code: 7, output: '' });
  });

  it('may fail while threads compute', async () => {
    const body = `for (let i = 0; i < 2000; i += 1) void encoder.encode(batch).catch(() => {}); setTimeout(() => { throw new Error('planned'); }, 5);`;
    const { code, output } = await runProgram(body);
    expect(code).toBe(1);
    expect(output).toContain('planned');
  });
});

describe('a program with an embedder', () => {
  it('is the example of the README, on the command line', async () => {
    const body = `
      const { vectors, receipt } = await embedder.embed(['A cat sleeps in the sun.', 'Interest rates rose.']);
      console.log(vectors.rows, receipt.rows);
      await embedder.dispose();
    `;
    expect(await runEmbedder(body)).toEqual({ code: 0, output: '2 2\n' });
  });

  it.each([0, 1, 5, 20])('may dispose of it while it embeds (after %i ms)', async (delay) => {
    const body = `
      const call = embedder.embed(texts).then(() => 'done', (error) => error.code);
      await new Promise((resolve) => setTimeout(resolve, ${delay}));
      await embedder.dispose();
      console.log(await call);
    `;
    expect(await runEmbedder(body)).toEqual({ code: 0, output: 'disposed\n' });
  });

  it('may share one signal among many calls, and recognizes its abort by the name of the error', async () => {
    const body = `
      const controller = new AbortController();
      const { signal } = controller;
      const calls = Array.from({ length: 40 }, () => embedder.embed(texts, { signal }).catch((error) => error));
      await new Promise((resolve) => setTimeout(resolve, 5));
      controller.abort('no longer wanted');
      const errors = await Promise.all(calls);
      console.log(new Set(errors.map(({ name, code, cause }) => [name, code, cause].join(', '))));
      await embedder.dispose();
    `;
    const output = "Set(1) { 'AbortError, aborted, no longer wanted' }\n";
    expect(await runEmbedder(body)).toEqual({ code: 0, output });
  });
});
