import { queueRuntime, startQueueWorker } from '@sentvec/queue';
import { runtimeContract, startRedis, type RedisServer } from '@sentvec/testing';
import { afterAll, beforeAll } from 'vitest';

let redis: RedisServer;
let tests = 0;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

runtimeContract({
  name: 'bullmq',
  readsAhead: 16,
  connect: async (workflows) => {
    tests += 1;
    const queue = `contract-${tests}`;
    const worker = await startQueueWorker({
      url: redis.url,
      queue,
      workflows,
      concurrency: 4,
      window: 16,
      recovery: { declineTimeout: 0 },
    });
    const runtime = await queueRuntime({ url: redis.url, queue });
    const others: { close(): Promise<void> }[] = [];
    return {
      runtime,
      elsewhere: async () => {
        const other = await queueRuntime({ url: redis.url, queue });
        others.push(other);
        return other;
      },
      close: async () => {
        await worker.stop(1000);
        await Promise.all([runtime, ...others].map((connected) => connected.close()));
      },
    };
  },
});
