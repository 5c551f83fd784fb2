import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { throwIfAborted, type Embedder } from '@sentvec/core';
import { writeAtomically } from '../files/atomic-write.ts';
import type { Manifest } from '../manifest.ts';
import { resolveOptions, type CorpusOptions, type CorpusRequest } from '../request.ts';
import { isCalibrated } from '../run/calibration.ts';
import { openRun, runKey, type CorpusRun, type RunSources, type Space } from '../run/corpus-run.ts';
import { decideStart } from '../run/decide-start.ts';
import { claimOutput, inspectOutput, makeRunFolder, removeRunFolder } from '../run/output-folder.ts';
import { restoreCleanShards } from '../run/restore-shards.ts';
import { runFolder } from '../run/run-folder.ts';
import { describeSpace } from '../run/space.ts';
import { findInputs } from '../sources/find-inputs.ts';
import { inspectSource } from '../sources/inspect.ts';
import type { FoundInput, Source } from '../sources/source.ts';
import { makeReadable } from '../sources/unpack.ts';
import { calibrate } from './calibrate.ts';
import { checkFields } from './check-fields.ts';
import { manifestOf } from './manifest-of.ts';

/** Options of {@link prepareCorpus}. */
export interface PrepareCorpusOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes unpacked so far, of inputs that have to be unpacked. */
  readonly onProgress?: ((unpackedBytes: number) => void) | undefined;
  /** What the input `-` reads. Default: the standard input of this process. */
  readonly standardInput?: Readable | undefined;
}

/** A run that is ready, or the manifest of one that is finished already. */
export type PreparedCorpus =
  | { readonly finished: false; readonly run: CorpusRun }
  | { readonly finished: true; readonly manifest: Manifest };

/**
 * Checks a request and makes everything ready for its chunks: unpacks inputs that cannot be read at random, checks that
 * they have the fields, takes the ranges for int8 and uint8, and claims the output folder. When it fails, the output
 * folder is as it was.
 *
 * @throws SentvecError `invalid-argument`; `invalid-corpus` for inputs that are not there or not what they seem;
 * `space-mismatch` and `invalid-output` for an output folder that is in the way, with what to do; `io-failed`,
 * `aborted`
 */
export async function prepareCorpus(
  request: CorpusRequest,
  embedder: Embedder,
  options: PrepareCorpusOptions = {},
): Promise<PreparedCorpus> {
  const resolved = resolveOptions(request, embedder.encoder.batchTokens);
  const output = resolve(request.output);
  const inputs = await findInputs(request.inputs);
  const state = await inspectOutput(output);
  const space = await describeSpace(embedder, resolved, options.signal);
  const key = runKey(space, resolved, inputs);
  const wanted = { output, space, options: resolved, inputs, key };
  const start = await decideStart(request, wanted, state);
  if (start.kind === 'finished') {
    for (const left of state.unfinished) await removeRunFolder(output, left, false);
    return { finished: true, manifest: start.manifest };
  }
  const strict = request.strict ?? false;
  if (start.kind === 'continue') return { finished: false, run: await continueRun(output, key, strict) };
  const run = await beginRun({ ...wanted, strict, made: !state.exists, ...start }, embedder, options);
  return { finished: false, run };
}

/** A run whose preparation is behind it; its folder may have been left at any point after that. */
async function continueRun(output: string, key: string, strict: boolean): Promise<CorpusRun> {
  await makeRunFolder(output, key, true);
  const run = { ...(await openRun(output, key)), strict };
  await claimOutput(run, await manifestOf(run), true);
  return run;
}

interface Beginning {
  readonly output: string;
  readonly key: string;
  readonly space: Space;
  readonly options: CorpusOptions;
  readonly inputs: readonly FoundInput[];
  readonly strict: boolean;
  /** Unpacked copies of an interrupted preparation are used again. */
  readonly keep: boolean;
  /** The output folder was not there before. */
  readonly made: boolean;
  /** Shards without rejected rows are taken over from this finished run. */
  readonly retried: Manifest | undefined;
}

async function beginRun(beginning: Beginning, embedder: Embedder, options: PrepareCorpusOptions): Promise<CorpusRun> {
  const { output, key, strict, space } = beginning;
  try {
    await makeRunFolder(output, key, beginning.keep);
    const sources = await readySources(beginning, options);
    const idType = await checkFields(sources, beginning.options);
    const totalBytes = sources.reduce((total, { bytes }) => total + bytes, 0);
    const run: CorpusRun = { key, output, space, options: beginning.options, idType, strict, totalBytes };
    if (beginning.retried) await restoreCleanShards(run, beginning.retried);
    await writeRun(run, { found: beginning.inputs, sources }, embedder, options.signal);
    await claimOutput(run, await manifestOf(run), beginning.retried !== undefined);
    return run;
  } catch (error) {
    await removeRunFolder(output, key, beginning.made);
    throw error;
  }
}

async function readySources(
  { inputs, output, key, options: { inputFormat } }: Beginning,
  options: PrepareCorpusOptions,
): Promise<Source[]> {
  const { unpacked: folder, temporary } = runFolder(output, key);
  const { signal, standardInput = process.stdin } = options;
  const sources: Source[] = [];
  let before = 0;
  for (const [index, input] of inputs.entries()) {
    throwIfAborted(signal);
    const onProgress = (bytes: number): void => options.onProgress?.(before + bytes);
    const file = await makeReadable(input, index, { folder, temporary, standardInput, signal, onProgress });
    if (file.path !== input.path) before += file.bytes;
    sources.push(await inspectSource(input.name, file, inputFormat));
  }
  return sources;
}

/** The run itself comes last: once it is there, the run can be continued. */
async function writeRun(
  run: CorpusRun,
  sources: RunSources,
  embedder: Embedder,
  signal: AbortSignal | undefined,
): Promise<void> {
  const folder = runFolder(run.output, run.key);
  const write = (path: string, value: unknown): Promise<void> =>
    writeAtomically(path, JSON.stringify(value), folder.temporary);
  if (isCalibrated(run.options.precision)) {
    const calibration = await calibrate(sources.sources, run.options, embedder, signal);
    if (calibration) await write(folder.calibration, calibration);
  }
  await write(folder.sources, sources);
  const { output: _, ...portable } = run;
  await write(folder.run, portable);
}
