// The fields of a run in Redis that are read together, and their parsing.
import type { RunError, RunItems, RunState, RunStatus } from '@sentvec/workflow';

/** The fields of a run that workers poll. */
export interface RunPosition extends Pick<RunStatus, 'state' | 'attempt' | 'workflow'> {
  /** The version of the workflow that the attempt began with; `undefined` before it has begun. */
  readonly version: string | undefined;
  /** How many attempts at steps have failed since the last step that was done. */
  readonly faults: number;
  /** Id of the one job that may be executed while the circuit breaker of the run is open. */
  readonly probe: string | undefined;
}

/** The fields of a {@link RunPosition}. */
export const positionFields: readonly string[] = ['state', 'attempt', 'workflow', 'version', 'faults', 'probe'];

/** The position of a run by the values of {@link positionFields}. `undefined` when there is no such run. */
export function parsePosition(values: readonly (string | null)[]): RunPosition | undefined {
  const [state, attempt, workflow, version, faults, probe] = values;
  if (!state) return undefined;
  const known = { state: state as RunState, attempt: Number(attempt), workflow: workflow ?? '' };
  return { ...known, version: version ?? undefined, faults: Number(faults ?? 0), probe: probe ?? undefined };
}

/**
 * After this many failed attempts in a row the circuit breaker opens: one step at a time is tried, until one is done.
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

/** The fields of a run that make its status: all but its input and output, which may be large. */
export const statusFields: readonly string[] =
  'id workflow version state attempt createdAt startedAt finishedAt progress error faults fault'.split(' ');

/** The status of a run by the values of {@link statusFields}. `undefined` when there is no such run. */
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
      ? `The last ${fields['faults']} attempts at steps failed, so one step at a time is tried. ${fields['fault']}`
      : undefined,
  };
}
