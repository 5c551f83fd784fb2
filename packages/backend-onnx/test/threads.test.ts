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
    for (let call = 0; call < 8; call += 1) expect((await encoder.encode(batch)).rows).toBe(2);
    await encoder.dispose();
    expect(workers.length).toBe(4);
  });

  it('again and again, is given up with an error instead of a hang', async () => {
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
      ready.push(once(worker, 'message'));
    });
    const encoder = await onnx({ sessions: 2 }).load(memoryModel('m', { 'model.onnx': onnxModel() }));
    await Promise.all([encoder.encode(batch), encoder.encode(batch)]);
    await Promise.all(ready);
    return { encoder, workers };
  }
});

/** Runs a program that has an `encoder` of tiny-bert and a `batch` of 32 × 32 tokens. */
function runProgram(body: string): Promise<{ code: unknown; output: string }> {
  const program = `
    import { onnx } from ${JSON.stringify(import.meta.resolve('@sentvec/backend-onnx'))};
    import { directoryModel } from ${JSON.stringify(import.meta.resolve('@sentvec/core/node'))};
    const encoder = await onnx({ sessions: 2 }).load(await directoryModel(${JSON.stringify(goldenModel('tiny-bert').directory)}));
    const batch = { ids: new Int32Array(1024).fill(5), mask: new Int32Array(1024).fill(1), rows: 32, cols: 32 };
    ${body}
  `;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--input-type=module', '--eval', program],
      { timeout: 50_000 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : (error.code ?? error.signal), output: stdout + stderr });
      },
    );
  });
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
