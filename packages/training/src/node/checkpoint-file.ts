// Reads and writes checkpoints: safetensors files with the recipe and the evaluations of a run in their metadata.
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { memoryModel, parseJson, readWeights, SentvecError, writeSafetensors, type Weights } from '@sentvec/core';
import { guardIo, isSystemError, makeFolder, writeFileAtomically } from '@sentvec/platform/node';
import type { HistoryEvaluation, HistoryStep, TrainingCheckpoint } from '../training-request.ts';
import { differingParts, type Recipe } from './recipe.ts';

/** The metadata of a checkpoint file. */
interface CheckpointRecord {
  readonly version: 2;
  readonly recipe: Recipe;
  readonly step: number;
  readonly optimizerSteps: number;
  readonly bestStep: number | null;
  readonly evaluations: readonly HistoryEvaluation[];
}

/**
 * Writes a checkpoint atomically: the previous one is replaced only after the new one is complete.
 * @param recipe model, data and options of the run; a run with another recipe cannot resume from this checkpoint
 * @throws SentvecError `io-failed`, for example when the disk is full
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
    evaluations: history.evaluations,
  };
  const flat = (data: Float32Array) => ({ shape: [data.length], data });
  const tensors = {
    weights: flat(state.weights),
    firstMoments: flat(state.firstMoments),
    secondMoments: flat(state.secondMoments),
    ...(best ? { best: flat(best.weights) } : {}),
    // A tensor and not metadata, because a long history would exceed the size limit of a safetensors header.
    history: { shape: [history.steps.length, columnsOfHistory.length * 3], data: encodeSteps(history.steps) },
  };
  const bytes = writeSafetensors(tensors, { checkpoint: JSON.stringify(record) });
  const doing = 'Writing the checkpoint';
  await guardIo(doing, path, () => makeFolder(dirname(path)));
  await writeFileAtomically(path, bytes, { doing });
}

/**
 * Reads a checkpoint. Returns `undefined` if the file does not exist.
 * @throws SentvecError `invalid-argument` when the checkpoint has another recipe; `invalid-model` when the file is
 * damaged
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
      `The checkpoint ${path} belongs to a run with other settings. Different: ${differing.join(', ')}. Restore these settings, or choose another output.`,
      { file: path, differing },
    );
  }
  return {
    step: record.step,
    history: { steps: decodeSteps(file.tensor('history').data), evaluations: record.evaluations },
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
    `${path} is not a checkpoint of this version of sentvec. Remove it and start the training again.`,
    { file: path },
  );
}

function copyOf(file: Weights, name: string): Float32Array {
  return file.tensor(name).data.slice();
}

const columnsOfHistory = ['loss', 'learningRate', 'gradientNorm'] as const;

/** Encodes each float64 exactly, as the sum of three float32 numbers. */
function encodeSteps(steps: readonly HistoryStep[]): Float32Array {
  return Float32Array.from(
    steps.flatMap((step) =>
      columnsOfHistory.flatMap((name) => {
        const first = Math.fround(step[name]);
        const second = Math.fround(step[name] - first);
        return [first, second, step[name] - first - second];
      }),
    ),
  );
}

function decodeSteps(data: Float32Array): HistoryStep[] {
  const width = columnsOfHistory.length * 3;
  return Array.from({ length: data.length / width }, (_, index) => {
    const number = (column: number): number => {
      const at = index * width + 3 * column;
      return data[at]! + data[at + 1]! + data[at + 2]!;
    };
    return { step: index + 1, loss: number(0), learningRate: number(1), gradientNorm: number(2) };
  });
}
