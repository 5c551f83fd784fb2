// The models that workers serve, and which of them a run gets. See docs/adr/0042.
import type { NeededModel } from '@sentvec/workflow';

/** A model of a worker. JSON. */
export interface ServedModel {
  /** The name in requests. */
  readonly name: string;
  /** The hash of its `Embedder.fingerprint()`. `undefined` until it has been loaded. */
  readonly fingerprint?: string | undefined;
  /** The backend, such as `onnx cpu`. */
  readonly backend?: string | undefined;
  /** Why loading failed. It is retried. */
  readonly error?: string | undefined;
}

/** The model of a run that has begun. */
export interface PinnedModel {
  readonly name: string;
  readonly fingerprint: string;
}

/** A worker with models. */
export interface ModelServer {
  /** Start time by the clock of Redis, in milliseconds since 1970. */
  readonly startedAt: number;
  /** `undefined` if unknown. Such a worker executes only steps that are for any worker. */
  readonly models?: readonly ServedModel[] | undefined;
}

/** Whether a model has the name and the fingerprint that a run needs. */
function fits({ name, fingerprint }: ServedModel, needed: NeededModel): boolean {
  return name === needed.name && fingerprint !== undefined && fingerprint.startsWith(needed.fingerprint ?? '');
}

/** Whether a worker has a model. */
export function servesModel({ models }: ModelServer, needed: NeededModel): boolean {
  return models?.some((served) => fits(served, needed)) ?? false;
}

/**
 * Chooses the model of a run: the one of the worker that started last, so that new runs use the new workers of a rolling
 * update.
 *
 * @param workers all workers that have the workflow of the run
 * @returns `any` if the models of one of the workers are unknown: the steps are then for any of them; `undefined` if no
 *   worker has the model
 */
export function chooseModel(workers: readonly ModelServer[], needed: NeededModel): PinnedModel | 'any' | undefined {
  if (workers.some(({ models }) => models === undefined)) return 'any';
  const newest = workers
    .filter((worker) => servesModel(worker, needed))
    .toSorted((a, b) => b.startedAt - a.startedAt)[0];
  const served = newest?.models?.find((model) => fits(model, needed));
  return served && { name: served.name, fingerprint: served.fingerprint! };
}

/** The reason why no worker executes the steps of a run, in two sentences. */
export function unservedReason(workers: readonly ModelServer[], needed: NeededModel, lastSeen?: number): string {
  const { name, fingerprint } = needed;
  const wanted =
    fingerprint === undefined ? `model ${name}` : `model ${name} with fingerprint ${shortFingerprint(fingerprint)}`;
  const seen = lastSeen === undefined ? '' : `; last seen ${new Date(lastSeen).toISOString()}`;
  const models = workers.flatMap((worker) => worker.models ?? []);
  const namesakes = models.filter((model) => model.name === name);
  const others = namesakes.length > 0 ? namesakes.map(describeNamesake) : models.map((model) => model.name);
  const list = [...new Set(others)].join(', ') || 'none';
  return `This run needs ${wanted}: no live worker serves it${seen}. ${namesakes.length > 0 ? 'They have it' : 'They serve'}: ${list}.`;
}

function describeNamesake({ fingerprint, error }: ServedModel): string {
  if (fingerprint !== undefined) return `with ${shortFingerprint(fingerprint)}`;
  return error === undefined ? 'still loading' : `not loaded (${error.replace(/\.$/u, '')})`;
}

/** The first digits of a fingerprint, for messages. */
function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, 12);
}
