/** Makes everything ready for the chunks of a corpus: checks the request and its inputs, and claims the output folder. */
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { throwIfAborted, type Embedder } from '@sentvec/core';
import { findInputs, type FoundInput } from '../inputs/find-inputs.ts';
import { inspectInput, type InspectedInput } from '../inputs/inspect-input.ts';
import { unpackInput } from '../inputs/unpack-input.ts';
import type { Manifest } from '../manifest.ts';
import { resolveOptions, type CorpusRequest } from '../request.ts';
import { calibrate, isCalibrated } from '../run/calibration.ts';
import { openRun, runKey, type CorpusRun, type RunInputs } from '../run/corpus-run.ts';
import { decideStart, type Start, type WantedRun } from '../run/decide-start.ts';
import { takeOverShards } from '../run/finished-chunk.ts';
import { claimOutput, inspectOutput, makeRunFolder, removeRunFolder } from '../run/output-folder.ts';
import { runFolder, writeRunFile } from '../run/run-folder.ts';
import { describeSpace } from '../run/space.ts';
import { checkFields } from './check-fields.ts';
import { createManifest } from './create-manifest.ts';

/** Options of {@link prepareCorpus}. */
export interface PrepareCorpusOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes copied so far, of inputs that are copied. */
  readonly onProgress?: ((unpackedBytes: number) => void) | undefined;
  /**
   * What the input `-` reads.
   * @default the standard input of this process
   */
  readonly standardInput?: Readable | undefined;
  /**
   * What {@link findInputs} found for the inputs of this request, for a caller that has looked already.
   * @default they are found
   */
  readonly found?: readonly FoundInput[] | undefined;
}

/** A run that is ready for its chunks, or the manifest of one that is finished already. */
export type PreparedCorpus =
  | { readonly finished: false; readonly run: CorpusRun }
  | { readonly finished: true; readonly manifest: Manifest };

/**
 * Checks a request and makes everything ready for its chunks: copies inputs that cannot be read from any position, checks that
 * they have the fields, takes the ranges for int8 and uint8, and claims the output folder. When it fails, the output
 * folder is as it was.
 *
 * @throws SentvecError `invalid-argument`; `invalid-corpus` for inputs that are not there or not what they seem;
 * `space-mismatch` and `invalid-output` for an output folder that holds something else, with what to do; `io-failed`,
 * `aborted`
 */
export async function prepareCorpus(
  request: CorpusRequest,
  embedder: Embedder,
  options: PrepareCorpusOptions = {},
): Promise<PreparedCorpus> {
  const resolved = resolveOptions(request, embedder.encoder.batchTokens);
  const output = resolve(request.output);
  const inputs = options.found ?? (await findInputs(request.inputs));
  const state = await inspectOutput(output);
  const space = await describeSpace(embedder, resolved, options.signal);
  const key = await runKey(space, resolved, inputs);
  const wanted = { output, space, options: resolved, inputs, key };
  const start = await decideStart(request, wanted, state);
  if (start.kind === 'finished') {
    for (const left of state.unfinished) await removeRunFolder(output, left, false);
    return { finished: true, manifest: start.manifest };
  }
  const strict = request.strict ?? false;
  if (start.kind === 'continue') return { finished: false, run: await continueRun(output, key, strict) };
  const run = await beginRun({ ...wanted, ...start, strict, outputExists: state.exists }, embedder, options);
  return { finished: false, run };
}

/** Continues a run whose preparation is done. Its folder may have been left at any point after that. */
async function continueRun(output: string, key: string, strict: boolean): Promise<CorpusRun> {
  await makeRunFolder(output, key, true);
  const run = { ...(await openRun(output, key)), strict };
  await claimOutput(run, await createManifest(run), true);
  return run;
}

type Beginning = WantedRun &
  Extract<Start, { kind: 'begin' }> & { readonly strict: boolean; readonly outputExists: boolean };

async function beginRun(beginning: Beginning, embedder: Embedder, options: PrepareCorpusOptions): Promise<CorpusRun> {
  const { output, key, strict, space, retried } = beginning;
  try {
    await makeRunFolder(output, key, beginning.keepUnpacked);
    const inspected = await readyInputs(beginning, options);
    const idType = await checkFields(inspected, beginning.options);
    const totalBytes = inspected.reduce((total, { bytes }) => total + bytes, 0);
    const run: CorpusRun = { key, output, space, options: beginning.options, idType, strict, totalBytes };
    if (retried) await takeOverShards(run, retried);
    await writeRun(run, { found: beginning.inputs, inspected }, embedder, options.signal);
    await claimOutput(run, await createManifest(run), retried !== undefined);
    return run;
  } catch (error) {
    await removeRunFolder(output, key, !beginning.outputExists);
    throw error;
  }
}

async function readyInputs(
  { inputs, output, key, options: { inputFormat } }: WantedRun,
  options: PrepareCorpusOptions,
): Promise<InspectedInput[]> {
  const { unpacked: folder, temporary } = runFolder(output, key);
  const { signal, standardInput = process.stdin } = options;
  const inspected: InspectedInput[] = [];
  let before = 0;
  for (const [index, input] of inputs.entries()) {
    throwIfAborted(signal);
    const onProgress = (bytes: number): void => options.onProgress?.(before + bytes);
    const file = await unpackInput(input, index, { folder, temporary, standardInput, signal, onProgress });
    if (file.path !== input.path) before += file.bytes;
    inspected.push(await inspectInput(input.name, file, inputFormat));
  }
  return inspected;
}

/** The run itself comes last: once it is there, the run can be continued. */
async function writeRun(
  run: CorpusRun,
  inputs: RunInputs,
  embedder: Embedder,
  signal: AbortSignal | undefined,
): Promise<void> {
  const folder = runFolder(run.output, run.key);
  const write = (path: string, value: unknown): Promise<void> => writeRunFile(run, path, JSON.stringify(value));
  if (isCalibrated(run.options.precision)) {
    const calibration = await calibrate(inputs.inspected, run.options, embedder, signal);
    if (calibration) await write(folder.calibration, calibration);
  }
  await write(folder.inputs, inputs);
  const { output: _, ...portable } = run;
  await write(folder.run, portable);
}
