/** Prepares a run: checks the request and its inputs, and claims the output folder. */
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { AbortScope, canonicalJson, inOrder } from '@sentvec/platform';
import { isStorageUri } from '@sentvec/storage';
import { findInputs, realPath, type FoundInput } from '../inputs/find-inputs.ts';
import { inputsAtOnce, inspectInput, type InspectedInput } from '../inputs/inspect-input.ts';
import { unpackInput } from '../inputs/unpack-input.ts';
import type { Calibration, Manifest } from '../manifest.ts';
import { shardsOf } from '../manifest-parts.ts';
import { resolveOptions, type CorpusRequest } from '../request.ts';
import { calibrate, isCalibrated, readCalibration } from '../run/calibration.ts';
import { checkStreams, isUpToDate } from '../run/compare-inputs.ts';
import { newRunKey, openRun, type CorpusRun, type RunInputs } from '../run/corpus-run.ts';
import { decideStart, unfinishedError, updatedError, type EarlierRun, type WantedRun } from '../run/decide-start.ts';
import {
  claimOutput,
  inspectOutput,
  makePreparationFolder,
  markUnfinished,
  removePreparation,
} from '../run/output-folder.ts';
import { preparationFolder, runFolder, writeRunFile, type RunFolder } from '../run/run-folder.ts';
import { describeSpace, type CorpusEmbedder } from '../run/space.ts';
import type { FinishedChunk } from '../run/finished-chunk.ts';
import { chunksOfManifest, chunksOfRun, noteEarlierChunks } from '../run/take-over.ts';
import { checkFields } from './check-fields.ts';
import { createManifest } from './create-manifest.ts';

/** Options of {@link prepareCorpus}. */
export interface PrepareCorpusOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes unpacked so far, for inputs that are copied. */
  readonly onProgress?: ((unpackedBytes: number) => void) | undefined;
  /**
   * The stream that the input `-` reads.
   * @default the standard input of this process
   */
  readonly standardInput?: Readable | undefined;
  /**
   * The result of {@link findInputs} for the inputs of this request, if the caller has it already.
   * @default the inputs are searched for
   */
  readonly found?: readonly FoundInput[] | undefined;
  /**
   * The manifest of a finished folder that the shards will be added to: they get its id type and its calibration.
   * @default none
   */
  readonly joins?: Pick<Manifest, 'idType' | 'calibration'> | undefined;
}

/** A prepared run, or the manifest of a run that is already finished. */
export type PreparedCorpus =
  | { readonly finished: false; readonly run: CorpusRun }
  | { readonly finished: true; readonly manifest: Manifest };

/**
 * Prepares a run: validates the request, copies inputs without random access, checks their fields, computes the
 * calibration for int8 and uint8, and claims the output folder. If it fails, the output folder does not change.
 *
 * @throws SentvecError `invalid-argument`; `invalid-corpus` for missing or invalid inputs; `space-mismatch` and
 * `invalid-output` for an output folder with conflicting contents, or that another run has claimed meanwhile;
 * `io-failed`; `aborted`
 */
export async function prepareCorpus(
  request: CorpusRequest,
  embedder: CorpusEmbedder,
  options: PrepareCorpusOptions = {},
): Promise<PreparedCorpus> {
  const resolved = resolveOptions(
    request,
    embedder.kind === 'sparse' ? embedder.batchTokens : embedder.encoder.batchTokens,
  );
  const output = isStorageUri(request.output) ? request.output.replace(/\/+$/u, '') : resolve(request.output);
  const inputs = options.found ?? (await findInputs(request.inputs));
  const { exists } = await inspectOutput(output);
  if (exists) await refuseInputsOfOutput(inputs, output);
  const space = await describeSpace(embedder, resolved, options.signal);
  const wanted = { output, space, options: resolved, inputs };
  const preparation = new Preparation(request, wanted, embedder, options);
  try {
    return await preparation.prepare();
  } finally {
    await removePreparation(output, preparation.key, !exists);
  }
}

/**
 * Throws if an input is in the output folder: a glob may match files of an earlier run, which this run would replace.
 */
async function refuseInputsOfOutput(inputs: readonly FoundInput[], output: string): Promise<void> {
  const folder = await realPath({ path: output, kind: 'file' });
  for (const input of inputs) {
    const path = await realPath(input);
    if (!path.startsWith(`${folder}/`) && !path.startsWith(`${folder}${sep}`)) continue;
    const message = `The input ${input.name} is in the output folder ${output}, whose files the run would replace. Choose another output folder, or exclude the file from the inputs.`;
    throw new SentvecError('invalid-argument', message, { file: input.name });
  }
}

/** The preparation of a run. Until it claims the output folder, it writes only into its own temporary folder. */
class Preparation {
  readonly key: string = newRunKey();
  readonly #request: CorpusRequest;
  readonly #wanted: WantedRun;
  readonly #embedder: CorpusEmbedder;
  readonly #options: PrepareCorpusOptions;
  readonly #folder: RunFolder;
  #inspected: readonly InspectedInput[] | undefined;

  constructor(request: CorpusRequest, wanted: WantedRun, embedder: CorpusEmbedder, options: PrepareCorpusOptions) {
    this.#request = request;
    this.#wanted = wanted;
    this.#embedder = embedder;
    this.#options = options;
    this.#folder = preparationFolder(wanted.output, this.key);
  }

  async prepare(): Promise<PreparedCorpus> {
    const { output } = this.#wanted;
    for (let attempt = 1; ; attempt += 1) {
      const state = await inspectOutput(output);
      const start = await decideStart(this.#request, this.#wanted, state);
      if (start.kind === 'continue') return this.#continue(start.run);
      const prepared = await this.#begin(start.earlier);
      if (prepared.finished) return prepared;
      const makeManifest = (): Promise<Manifest> => createManifest(prepared.run);
      if (await claimOutput(output, this.key, state, makeManifest)) return this.#continue(prepared.run);
      // Another run has claimed the folder first: decide again. With `overwrite` fail, so that a run that has just
      // begun is not replaced.
      if (this.#request.overwrite || attempt === maxAttempts) throw unfinishedError(output);
    }
  }

  /** Continues an unfinished run. Writes its manifest again, because its process may have been killed before it did. */
  async #continue({ output, key }: CorpusRun): Promise<PreparedCorpus> {
    const run = { ...(await openRun(output, key)), strict: this.#request.strict ?? false };
    await markUnfinished(output, key, await createManifest(run));
    return { finished: false, run };
  }

  /** Begins a new run, unless a finished run turns out to be up to date. */
  async #begin(earlier: EarlierRun | undefined): Promise<PreparedCorpus> {
    const { output, options, space, inputs } = this.#wanted;
    const inspected = (this.#inspected ??= await this.#readyInputs());
    const { signal } = this.#options;
    const { verify = false, strict = false, update } = this.#request;
    if (earlier?.kind === 'unfinished' && !update) await checkStreams(earlier, inspected);
    if (earlier?.kind === 'finished') {
      const wanted = { output, options, found: inputs, inspected, verify, signal };
      if (await isUpToDate(earlier, wanted)) return { finished: true, manifest: earlier.manifest };
      if (await hasRemovedRows(output, earlier.manifest)) throw updatedError(output);
    }
    const found = await checkFields(inspected, options, signal);
    const idType = this.#options.joins?.idType ?? found;
    const totalBytes = inspected.reduce((total, { bytes }) => total + bytes, 0);
    const run: CorpusRun = { key: this.key, output, space, options, idType, strict, totalBytes };
    await makePreparationFolder(output, this.key);
    const calibration = await this.#calibrate(inspected);
    if (earlier) await noteEarlierChunks(this.#folder, options, earlierChunks(earlier, { run, calibration }), verify);
    await this.#write(run, { found: inputs, inspected }, calibration);
    return { finished: false, run };
  }

  async #readyInputs(): Promise<InspectedInput[]> {
    const { inputs, options: corpus } = this.#wanted;
    const { unpacked: folder, temporary } = this.#folder;
    const { signal, standardInput = process.stdin } = this.#options;
    const scope = new AbortScope(signal);
    const unpacked = inputs.map(() => 0);
    const started: Promise<InspectedInput>[] = [];
    const ready = async (input: FoundInput, index: number): Promise<InspectedInput> => {
      throwIfAborted(scope.signal);
      const onProgress = (bytes: number): void => {
        unpacked[index] = bytes;
        this.#options.onProgress?.(unpacked.reduce((sum, each) => sum + each, 0));
      };
      const copying = { folder, temporary, standardInput, signal: scope.signal, onProgress };
      const { path, state } = await unpackInput(input, index, copying);
      return inspectInput(input.name, path, state, corpus.inputFormat, scope.signal);
    };
    const begin = ([index, input]: readonly [number, FoundInput]): Promise<InspectedInput> => {
      const inspected = ready(input, index);
      started.push(inspected);
      return inspected;
    };
    const inspected: InspectedInput[] = [];
    try {
      for await (const each of inOrder(inputs.entries(), inputsAtOnce, begin)) inspected.push(each);
      return inspected;
    } catch (error) {
      scope.abort(error);
      throw error;
    } finally {
      // Nothing is written any more when the preparation is removed.
      await Promise.allSettled(started);
      scope.close();
    }
  }

  /** Computes the calibration, if the precision needs one. */
  async #calibrate(inspected: readonly InspectedInput[]): Promise<Calibration | undefined> {
    const { joins, signal } = this.#options;
    const { options } = this.#wanted;
    if (!isCalibrated(options.precision)) return undefined;
    return joins?.calibration ?? (await calibrate(inspected, options, this.#embedder, signal));
  }

  async #write(run: CorpusRun, { found, inspected }: RunInputs, calibration: Calibration | undefined): Promise<void> {
    const folder = this.#folder;
    const write = (path: string, value: unknown): Promise<void> => writeRunFile(folder, path, JSON.stringify(value));
    if (calibration) await write(folder.calibration, calibration);
    // Unpacked copies are moved together with the folder of the run.
    const { unpacked } = runFolder(run);
    const moved = inspected.map((input) =>
      dirname(input.path) === folder.unpacked && folder.unpacked !== unpacked
        ? { ...input, path: join(unpacked, basename(input.path)) }
        : input,
    );
    await write(folder.inputs, { found, inspected: moved });
    const { output: _, ...portable } = run;
    await write(folder.run, portable);
  }
}

async function hasRemovedRows(output: string, manifest: Manifest): Promise<boolean> {
  for await (const { removed } of shardsOf(output, manifest)) if (removed) return true;
  return false;
}

/** Maximum number of decisions when other runs claim the folder first. */
const maxAttempts = 3;

/** The chunks of an earlier run whose shards the new run can reuse. */
async function* earlierChunks(
  earlier: EarlierRun,
  begun: { readonly run: CorpusRun; readonly calibration: Calibration | undefined },
): AsyncGenerator<FinishedChunk, void> {
  const { output, idType } = begun.run;
  const fits = (there: Pick<Manifest, 'idType' | 'calibration'>): boolean =>
    there.idType === idType && canonicalJson(there.calibration ?? null) === canonicalJson(begun.calibration ?? null);
  const { manifest } = earlier;
  if (manifest && fits(manifest))
    yield* chunksOfManifest(output, manifest, earlier.kind === 'finished' && !earlier.again);
  if (earlier.kind !== 'unfinished') return;
  const { run } = earlier;
  if (fits({ idType: run.idType, calibration: await readCalibration(run) })) yield* chunksOfRun(run);
}
