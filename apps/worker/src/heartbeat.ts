import type { QueueOverview, WorkerFacts } from '@sentvec/queue';

/** Milliseconds between two signs of life. */
const interval = 2000;

/** Gives signs of life to whoever watches the queue. What it returns says farewell. */
export function announce(
  overview: QueueOverview,
  facts: () => Omit<WorkerFacts, 'since' | 'seen'>,
): () => Promise<void> {
  const since = Date.now();
  const beat = () => overview.announce({ ...facts(), since, seen: Date.now() });
  // Redis may be away for a while; then the next beat says it all.
  const timer = setInterval(() => void beat().catch(() => {}), interval);
  void beat().catch(() => {});
  const { id } = facts();
  return async () => {
    clearInterval(timer);
    await overview.dismiss(id);
  };
}
