// A checkpoint as a file beside the output of its run: a safetensors file whose header also holds history and recipe.
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { memoryModel, parseJson, readWeights, SentvecError, writeSafetensors, type Weights } from '@sentvec/core';
import { guardIo, isSystemError, writeFileAtomically } from '@sentvec/platform/node';
import type { TrainingCheckpoint, TrainingHistory } from '../training-request.ts';
import { differingParts, type Recipe } from './recipe.ts';

/** What the header of a checkpoint says besides its tensors. */
interface CheckpointRecord {
  readonly version: 2;
  readonly recipe: Recipe;
  readonly step: number;
  readonly optimizerSteps: number;
  readonly bestStep: number | null;
  readonly history: TrainingHistory;
}

/**
 * Writes a checkpoint, whole or not at all: an earlier one stays until the new one is safe.
 * @param recipe what is trained, on what and how; a checkpoint of another recipe cannot be resumed
 * @throws SentvecError `io-failed`, a full disk for example
 */
export async function writeCheckpoint(
  path: string,
  recipe: Recipe,
  { step, history, state, best }: TrainingCheckpoint,
): Promise<void> {
  const record: CheckpointRecord = {
    version: 2,
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
  await writeFileAtomically(path, bytes, { doing });
}

/**
 * Reads a checkpoint; `undefined` when there is none.
 * @throws SentvecError `invalid-argument` when it is of another recipe, `invalid-model` when the file is damaged
 */
export async function readCheckpoint(path: string, recipe: Recipe): Promise<TrainingCheckpoint | undefined> {
  const read = () =>
    readFile(path).catch((error: unknown) => (isSystemError(error, 'ENOENT') ? undefined : Promise.reject(error)));
  const bytes = await guardIo('Reading the checkpoint', path, read);
  if (bytes === undefined) return undefined;
  const file = await readWeights(memoryModel(path, { 'checkpoint.safetensors': bytes }), 'checkpoint.safetensors');
  const record = readRecord(bytes, path);
  const differing = differingParts(record.recipe, recipe);
  if (differing.length > 0) {
    throw new SentvecError(
      'invalid-argument',
      `The checkpoint ${path} belongs to another run: what differs is ${differing.join(', ')}. Train with what it was started with, or choose another output.`,
      { file: path, differing },
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
  const header = parseJson(bytes.subarray(8, 8 + size), path) as Readonly<
    Record<string, { readonly checkpoint?: string }>
  >;
  const text = header['__metadata__']?.checkpoint;
  const record = text === undefined ? undefined : (parseJson(new TextEncoder().encode(text), path) as CheckpointRecord);
  if (record?.version === 2) return record;
  throw new SentvecError(
    'invalid-model',
    `${path} is not a checkpoint of this release of sentvec. Remove it, and train from the beginning.`,
    { file: path },
  );
}

function copyOf(file: Weights, name: string): Float32Array {
  return file.tensor(name).data.slice();
}
