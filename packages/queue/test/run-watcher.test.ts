import { expect, it } from 'vitest';
import type { RunPosition } from '../src/run-fields.ts';
import type { RunStore } from '../src/run-store.ts';
import { RunWatcher } from '../src/run-watcher.ts';

const position = (attempt: number, state: RunPosition['state']): RunPosition => ({
  state,
  attempt,
  workflow: 'work',
  version: undefined,
  model: undefined,
  faults: 0,
  probe: undefined,
});

it('a status that was read before a replay does not end the new attempt', async () => {
  const replies: ((read: RunPosition) => void)[] = [];
  const store = { readPosition: async () => new Promise((resolve) => replies.push(resolve)) };
  const watcher = new RunWatcher(store as unknown as RunStore);
  const watching = watcher.watch('run', 1);
  replies[0]!(position(1, 'running'));
  const first = (await watching)!;
  // A poll reads that attempt 1 has completed. Before its reply arrives, attempt 2 starts.
  const polling = watcher.poll();
  const watchingNext = watcher.watch('run', 2);
  replies[2]!(position(2, 'queued'));
  const second = (await watchingNext)!;
  replies[1]!(position(1, 'completed'));
  await polling;
  expect(second.signal.aborted).toBe(false);
  expect(first.signal.aborted).toBe(true);
  second.update(position(3, 'queued'));
  expect(second.signal.reason).toMatchObject({ code: 'aborted', message: expect.stringContaining('replayed') });
  watcher.close();
});
