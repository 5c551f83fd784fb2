// The backend `onnx`: chooses the device and loads the model.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { configuredPositions, findShippedFile } from '@sentvec/architectures/onnx-files';
import type { Backend, Encoder, LoadOptions, ModelFiles, TokenBatch } from '@sentvec/core';
import { SentvecError, throwIfAborted, warn } from '@sentvec/platform';
import { cachedReference, hashEarly } from './cached-reference.ts';
import { availability, devicesToTry, loadingError, presentDevices } from './devices.ts';
import { PooledEncoder } from './encoder.ts';
import { checkOptions, type OnnxDevice, type OnnxOptions } from './options.ts';
import type { SessionSpecification } from './messages.ts';
import { disableTelemetry } from './onnx-runtime.ts';
import { recordModel } from './recorded-model.ts';
import { checkMemory, planSessions, type SessionPlan } from './session-plan.ts';
import { SessionPool, type StartThread } from './session-pool.ts';
import {
  startEarlyThread,
  startSessionThread,
  type EarlyThread,
  type SessionThread,
  type ThreadListener,
} from './session-thread.ts';
import { findShippedModel, type ModelSource } from './shipped-model.ts';

/**
 * The backend that runs encoders with onnxruntime-node in worker threads, so that they do not block the event loop of
 * the caller.
 * @throws SentvecError `invalid-argument` for an invalid option
 */
export function onnx(options: OnnxOptions = {}): Backend {
  checkOptions(options);
  return {
    specificationVersion: 1,
    name: 'onnx',
    isAvailable: () => availability(devicesToTry(options.device)),
    load: (model, loadOptions) => load(model, options, loadOptions),
    reference: (files, batch) => reference(files, batch, options.cacheDirectory),
  };
}

/**
 * Reference values from the safetensors of the model. If its ONNX file is used and the safetensors have not been
 * downloaded, they are not downloaded for this purpose.
 */
async function reference(
  files: ModelFiles,
  batch: TokenBatch,
  cacheFolder: string | undefined,
): ReturnType<NonNullable<Backend['reference']>> {
  const shipped = findShippedFile(files.name, await files.list(), undefined);
  if (shipped === undefined || (await areWeightsOnDisk(files))) {
    const compute = async () => (await import('@sentvec/architectures')).plainReference(files, batch);
    return cachedReference(files, batch, compute, cacheFolder);
  }
  return {
    reason: `${files.name} has an ONNX file whose values are not checked, because its safetensors have not been downloaded.`,
  };
}

async function areWeightsOnDisk({ directory, ...files }: ModelFiles): Promise<boolean> {
  const weights = (await files.list()).filter((path) => /^model[^/]*\.safetensors$/u.test(path));
  if (directory === undefined || weights.length === 0) return false;
  const found = await Promise.all(weights.map((path) => stat(join(directory, path)).catch(() => undefined)));
  return found.every((each) => each !== undefined);
}

async function load(
  files: ModelFiles,
  options: OnnxOptions,
  { pairs = false, signal, onWarning = warn }: LoadOptions = {},
): Promise<Encoder> {
  throwIfAborted(signal);
  const devices = await presentDevices(devicesToTry(options.device), onWarning);
  await disableTelemetry();
  const early = startEarlyThread();
  hashEarly(files).catch(() => {}); // The error is reported by the call that awaits the hash.
  try {
    const shipped = await findShippedModel(files, options.variant);
    const source = shipped ?? (await recordModel(files, { pairs, caches: options.cacheDirectory }));
    throwIfAborted(signal);
    const positions = await configuredPositions(files);
    const open = (model: ModelSource): Promise<Encoder> =>
      openOnFirst(devices, { ...model, pairs }, early, positions, options, onWarning);
    const encoder = await open(source).catch(async (error: unknown) => {
      if (source.makeAgain === undefined || !SentvecError.is(error, 'invalid-model')) throw error;
      return open(await source.makeAgain());
    });
    if (signal?.aborted) await encoder.dispose();
    throwIfAborted(signal);
    return encoder;
  } finally {
    await early.discard();
  }
}

/** An ONNX model, and whether it is used with pairs of texts. */
type OpenedModel = ModelSource & { readonly pairs: boolean };

async function openOnFirst(
  devices: readonly OnnxDevice[],
  source: OpenedModel,
  early: EarlyThread,
  positions: number,
  options: OnnxOptions,
  onWarning: (message: string) => void,
): Promise<Encoder> {
  for (const [index, device] of devices.entries()) {
    const plan = planSessions(source.size, device, options);
    try {
      checkMemory(source, device, options);
      const pool = await openPool(source, device, plan, onWarning, early);
      return new PooledEncoder(pool, source, plan, { positions, device });
    } catch (error) {
      const next = devices[index + 1];
      if (next === undefined) throw await explain(error, device, source);
      onWarning(`onnxruntime cannot use ${device} for ${source.file}: ${reasonOf(error)} Falling back to ${next}.`);
    }
  }
  throw new SentvecError('invalid-argument', 'onnx({ device }) must contain at least one device.');
}

function openPool(
  source: OpenedModel,
  device: OnnxDevice,
  plan: Omit<SessionPlan, 'batchTokens'>,
  onWarning: (message: string) => void,
  early?: EarlyThread,
): Promise<SessionPool> {
  const { model, externalData, pairs } = source;
  const specification = (threads: number): SessionSpecification => ({ model, externalData, pairs, device, threads });
  const startWith =
    (threads: number): StartThread =>
    (listener) =>
      early?.open(specification(threads), listener) ?? startSessionThread(specification(threads), listener);
  const { sessions, threadsPerSession, loneThreads = 1, onCallingThread = false } = plan;
  return SessionPool.open({
    start: startWith(threadsPerSession),
    startWide: loneThreads > 1 ? startWith(loneThreads) : undefined,
    openOnThisThread: onCallingThread
      ? (listener) => openOnThisThread(specification(loneThreads), listener)
      : undefined,
    sessions,
    onWarning,
  });
}

/**
 * Opens a session on the calling thread. The import is lazy, because most programs do not need onnxruntime on this
 * thread.
 */
async function openOnThisThread(specification: SessionSpecification, listener: ThreadListener): Promise<SessionThread> {
  return (await import('./calling-thread.ts')).openOnCallingThread(specification, listener);
}

/**
 * The error for a model that cannot be opened. If the CPU can open it, the error is about the device, otherwise about
 * the model.
 */
async function explain(error: unknown, device: OnnxDevice, source: OpenedModel): Promise<SentvecError> {
  if (device !== 'cpu') {
    if (await opensOnCpu(source)) {
      const message = `onnxruntime cannot use ${device}: ${reasonOf(error)} Check its driver and libraries, or use the device "cpu".`;
      return new SentvecError('backend-unavailable', message, { device }, { cause: error });
    }
  }
  if (SentvecError.is(error)) return error;
  const unavailable = await loadingError();
  if (unavailable !== undefined) return unavailable;
  const message = `onnxruntime cannot open ${source.file}: ${reasonOf(error)} ${source.remedy}`;
  return new SentvecError('invalid-model', message, { file: source.file }, { cause: error });
}

async function opensOnCpu(source: OpenedModel): Promise<boolean> {
  try {
    const pool = await openPool(source, 'cpu', { sessions: 1, threadsPerSession: 1 }, warn);
    await pool.dispose();
    return true;
  } catch {
    return false;
  }
}

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /[.!?]$/u.test(message) ? message : `${message}.`;
}
