import type { CorpusTotal, DeadLetter, RunStatus } from '@sentvec/workflow';
import type { Schedule } from '@sentvec/queue/producer';
import { withFlags } from '../report-error.ts';

const shownLetters = 10;

/** Formats the status of a run. `schedule`: the schedule whose latest run this is. */
export function describeRun(status: RunStatus, letters: readonly DeadLetter[], schedule?: Schedule): string {
  const { id, workflow, model, state, attempt, stage, items, error, notice, createdAt, startedAt, finishedAt } = status;
  const total = totalOf(status);
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['run', id],
    ['workflow', workflow],
    ['model', model && [model.name, model.fingerprint?.slice(0, 12)].join(' ').trim()],
    ['state', attempt > 1 ? `${state} (attempt ${attempt})` : state],
    ['stage', stage],
    [
      'items',
      items &&
        `${count(items.done)} of ${items.expected === undefined ? 'at least ' : ''}${count(items.expected ?? items.planned)}`,
    ],
    [
      'failed items',
      items?.failed === undefined ? undefined : `${count(items.failed)}, see: sentvec queue failed ${id}`,
    ],
    ['rows', total && count(total.rows)],
    ['tokens', total && count(total.tokens)],
    ['truncated', total && count(total.truncated)],
    ['dead letters', total ? count(total.rejected) : letters.length > 0 ? count(letters.length) : undefined],
    ['submitted', new Date(createdAt).toLocaleString()],
    ['started', startedAt === undefined ? undefined : new Date(startedAt).toLocaleString()],
    ['ended', finishedAt === undefined ? undefined : new Date(finishedAt).toLocaleString()],
    ['next run', schedule && `${describeNext(schedule)}, of the schedule ${schedule.name} (${schedule.every})`],
    ['note', notice],
    ['error', error && withFlags(error.message)],
  ];
  const lines = facts.flatMap(([name, value]) => (value === undefined ? [] : [`${name.padEnd(13)} ${value}`]));
  const some = letters.slice(0, shownLetters).map(({ reference, reason }) => `  ${reference}: ${reason}`);
  const more = letters.length > shownLetters ? [`  … and ${count(letters.length - shownLetters)} more`] : [];
  return [...lines, ...some, ...more].join('\n');
}

/** Formats the time of a schedule's next run. */
export function describeNext({ next }: Schedule): string {
  return next === undefined ? 'never' : new Date(next).toLocaleString();
}

/** The totals of an `embed-corpus` run so far; `undefined` for other workflows. */
export function totalOf({ workflow, total }: RunStatus): CorpusTotal | undefined {
  return workflow === 'embed-corpus' && total ? (total as CorpusTotal) : undefined;
}

function count(number: number): string {
  return number.toLocaleString('en');
}
