// Parses groups of fields of a run in Redis.
import type { NeededModel, RunError, RunItems, RunState, RunStatus } from '@sentvec/workflow';
import type { PinnedModel } from './served-models.ts';

/** The fields of a run that workers poll. */
export interface RunPosition extends Pick<RunStatus, 'state' | 'attempt' | 'workflow'> {
  /** The workflow version of the attempt; `undefined` before it has begun. */
  readonly version: string | undefined;
  /** The model of the run. `undefined` before it has begun, and if any worker can execute its steps. */
  readonly model: PinnedModel | undefined;
  /** Number of failed step attempts since the last completed step. */
  readonly faults: number;
  /** Id of the only job that may be executed while the circuit breaker of the run is open. */
  readonly probe: string | undefined;
}

/** The fields of a {@link RunPosition}. */
export const positionFields: readonly string[] = [
  'state',
  'attempt',
  'workflow',
  'version',
  'faults',
  'probe',
  'model',
];

/** Parses the values of {@link positionFields}. `undefined` if there is no such run. */
export function parsePosition(values: readonly (string | null)[]): RunPosition | undefined {
  const [state, attempt, workflow, version, faults, probe, model] = values;
  if (!state) return undefined;
  const known = { state: state as RunState, attempt: Number(attempt), workflow: workflow ?? '' };
  return {
    ...known,
    version: version ?? undefined,
    model: model ? (JSON.parse(model) as PinnedModel) : undefined,
    faults: Number(faults ?? 0),
    probe: probe ?? undefined,
  };
}

/**
 * After this many consecutive failed attempts, the circuit breaker opens: only one step at a time is executed, until
 * one completes.
 */
const maxFaults = 5;

/** Whether the circuit breaker of a run is open. */
export function isCircuitOpen(faults: number): boolean {
  return faults >= maxFaults;
}

/** The progress of a run. */
export interface RunProgress {
  readonly stage: string;
  readonly items?: RunItems | undefined;
  readonly total?: unknown;
}

/** The fields for the status of a run: all except input and output, which may be large. */
export const statusFields: readonly string[] =
  'id workflow version model needs state attempt createdAt startedAt finishedAt progress error faults fault'.split(' ');

/** Parses the values of {@link statusFields}. `undefined` if there is no such run. */
export function parseStatus(values: readonly (string | null)[]): RunStatus | undefined {
  const fields = Object.fromEntries(statusFields.map((name, index) => [name, values[index] ?? undefined]));
  if (fields['state'] === undefined) return undefined;
  const json = (name: string): unknown => (fields[name] === undefined ? undefined : JSON.parse(fields[name]));
  const time = (name: string) => (fields[name] === undefined ? undefined : Number(fields[name]));
  const progress = json('progress') as RunProgress | undefined;
  return {
    id: fields['id'] ?? '',
    workflow: fields['workflow'] ?? '',
    version: fields['version'],
    model: (json('model') ?? json('needs')) as NeededModel | undefined,
    state: fields['state'] as RunState,
    attempt: Number(fields['attempt']),
    createdAt: Number(fields['createdAt']),
    startedAt: time('startedAt'),
    finishedAt: time('finishedAt'),
    stage: progress?.stage,
    items: progress?.items,
    total: progress?.total ?? null,
    error: json('error') as RunError | undefined,
    notice: isCircuitOpen(Number(fields['faults'] ?? 0))
      ? `The last ${fields['faults']} attempts of steps failed, so only one step at a time is executed. ${fields['fault']}`
      : undefined,
  };
}
