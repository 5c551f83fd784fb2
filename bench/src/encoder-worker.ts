// The process that `pnpm bench long-texts` and `large-models` start for each model. It loads the encoder, computes
// batches of given shapes, and prints time and memory for each.
import { readFile, writeFile } from 'node:fs/promises';
import { onnx } from '@sentvec/backend-onnx';
import { directoryModel } from '@sentvec/core/node';
import type { TokenBatch } from '@sentvec/core';

/** The task of the process, passed as a JSON argument. */
export interface EncoderTask {
  readonly folder: string;
  readonly threads: number;
  /** Numbers of tokens of the texts, ascending. Each text is a separate batch. */
  readonly lengths: readonly number[];
  /** Number of repetitions for each text; the fastest one counts. */
  readonly rounds: number;
}

/** The report that the process prints as JSON. */
export interface EncoderReport {
  /** Time to open the session, including building the ONNX graph. */
  readonly loadSeconds: number;
  /** Peak memory of the process until the session was open. */
  readonly loadMegabytes: number;
  /** Memory of the process with the open session, after a short text. */
  readonly openMegabytes: number;
  readonly lengths: readonly {
    readonly tokens: number;
    readonly seconds: number;
    /** Peak memory of the process minus `openMegabytes`. */
    readonly megabytes: number;
  }[];
}

const { folder, threads, lengths, rounds } = JSON.parse(process.argv[2]!) as EncoderTask;
const backend = onnx({ device: 'cpu', sessions: 1, threadsPerSession: threads });
const began = performance.now();
const encoder = await backend.load(await directoryModel(folder));
const loadSeconds = (performance.now() - began) / 1000;
const loadMegabytes = await memory('VmHWM');
await encoder.encode(text(16));
const openMegabytes = await memory('VmRSS');
const measured: EncoderReport['lengths'][number][] = [];
for (const tokens of lengths) {
  await writeFile('/proc/self/clear_refs', '5'); // Resets the peak.
  let seconds = Infinity;
  for (let round = 0; round < rounds; round += 1) {
    const started = performance.now();
    await encoder.encode(text(tokens));
    seconds = Math.min(seconds, (performance.now() - started) / 1000);
  }
  measured.push({ tokens, seconds, megabytes: (await memory('VmHWM')) - openMegabytes });
}
await encoder.dispose();
const report: EncoderReport = { loadSeconds, loadMegabytes, openMegabytes, lengths: measured };
process.stdout.write(`${JSON.stringify(report)}\n`);

function text(tokens: number): TokenBatch {
  const ids = Int32Array.from({ length: tokens }, (_, index) => 5 + ((index * 7919) % 1000));
  return { ids, mask: new Int32Array(tokens).fill(1), rows: 1, cols: tokens };
}

async function memory(field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`, 'u').exec(status)![1]) / 1024;
}
