import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { memoryModel, readWeights, SentvecError, writeSafetensors, type Weights } from '@sentvec/core';
import { guardIo, isSystemError, writeFileAtomically } from '@sentvec/platform/node';
import type { TrainingCheckpoint, TrainingHistory } from '../training-history.ts';

/** What the header of a checkpoint says besides its tensors. */
interface CheckpointRecord {
  readonly version: 1;
  readonly recipe: string;
  readonly step: number;
  readonly optimizerSteps: number;
  readonly bestStep: number | null;
  readonly history: TrainingHistory;
}

/**
 * Writes a checkpoint, whole or not at all: the file is flushed under another name and then renamed, so that an earlier
 * checkpoint stays until the new one is safe.
 * @param recipe names what is trained, on what and how; a checkpoint of another recipe cannot be resumed
 * @throws SentvecError `io-failed`, a full disk for example; the earlier checkpoint is kept
 */
export async function writeCheckpoint(
  path: string,
  recipe: string,
  { step, history, state, best }: TrainingCheckpoint,
): Promise<void> {
  const record: CheckpointRecord = {
    version: 1,
    recipe,
    step,
    optimizerSteps: state.steps,
    bestStep: best?.step ?? null,
    history,
  };
  const flat = (data: Float32Array) => ({ shape: [data.length], data });
  const tensors = {
    weights: flat(state.weights),
    firstMoments: flat(state.firstMoments),
    secondMoments: flat(state.secondMoments),
    ...(best ? { best: flat(best.weights) } : {}),
  };
  const bytes = writeSafetensors(tensors, { checkpoint: JSON.stringify(record) });
  const doing = 'Writing the checkpoint';
  await guardIo(doing, path, () => mkdir(dirname(path), { recursive: true }));
  const advice = 'An earlier checkpoint is kept: go on from it with `resume`.';
  await writeFileAtomically(path, bytes, { doing, advice });
}

/**
 * Reads a checkpoint; `undefined` when there is none.
 * @throws SentvecError `invalid-argument` when it is of another recipe, `invalid-model` when the file is damaged
 */
export async function readCheckpoint(path: string, recipe: string): Promise<TrainingCheckpoint | undefined> {
  const read = () =>
    readFile(path).catch((error: unknown) => (isSystemError(error, 'ENOENT') ? undefined : Promise.reject(error)));
  const bytes = await guardIo('Reading the checkpoint', path, read);
  if (bytes === undefined) return undefined;
  const file = await readWeights(memoryModel(path, { 'checkpoint.safetensors': bytes }), 'checkpoint.safetensors');
  const record = readRecord(bytes, path);
  if (record.recipe !== recipe) {
    throw new SentvecError(
      'invalid-argument',
      `The checkpoint ${path} was written with another model, data or settings, so it cannot be resumed. Use the configuration it was started with, or another output folder.`,
      { file: path },
    );
  }
  return {
    step: record.step,
    history: record.history,
    state: {
      steps: record.optimizerSteps,
      weights: copyOf(file, 'weights'),
      firstMoments: copyOf(file, 'firstMoments'),
      secondMoments: copyOf(file, 'secondMoments'),
    },
    best: record.bestStep === null ? undefined : { step: record.bestStep, weights: copyOf(file, 'best') },
  };
}

function readRecord(bytes: Uint8Array, path: string): CheckpointRecord {
  const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size))) as Readonly<
    Record<string, { readonly checkpoint?: string }>
  >;
  const text = header['__metadata__']?.checkpoint;
  if (text === undefined)
    throw new SentvecError('invalid-model', `${path} is not a checkpoint of sentvec.`, { file: path });
  return JSON.parse(text) as CheckpointRecord;
}

function copyOf(file: Weights, name: string): Float32Array {
  return file.tensor(name).data.slice();
}
