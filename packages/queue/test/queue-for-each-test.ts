// Setup for tests with workers: one Redis per test file, and a separate queue for each test.
import {
  connectRedis,
  QueueOverview,
  queueRuntime,
  startQueueWorker,
  type QueueRuntime,
  type QueueWorker,
  type QueueWorkerOptions,
  type RedisConnection,
} from '@sentvec/queue';
import { startRedis, type RedisServer } from '@sentvec/testing';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';

/** The queue of the current test. */
export interface TestQueue {
  readonly name: string;
  readonly connection: RedisConnection;
  readonly runtime: QueueRuntime;
  readonly overview: QueueOverview;
  /** Starts a worker, which is stopped after the test. */
  serve(options: Omit<QueueWorkerOptions, 'url' | 'queue'>): Promise<QueueWorker>;
}

/** @param file prefix of the queue names */
export function queueForEachTest(file: string): TestQueue {
  let redis: RedisServer;
  let tests = 0;
  const workers: QueueWorker[] = [];
  const queue = {
    serve: async (options) => {
      const worker = await startQueueWorker({ url: redis.url, queue: queue.name, ...options });
      workers.push(worker);
      return worker;
    },
  } as { -readonly [Name in keyof TestQueue]: TestQueue[Name] };

  beforeAll(async () => {
    redis = await startRedis();
  });

  afterAll(() => redis.stop());

  beforeEach(async () => {
    tests += 1;
    queue.name = `${file}-${tests}`;
    queue.connection = await connectRedis(redis.url, 'worker');
    queue.runtime = await queueRuntime({ url: redis.url, queue: queue.name });
    queue.overview = new QueueOverview(queue.connection, queue.name);
  });

  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.stop(1000)));
    await queue.overview.close();
    await queue.runtime.close();
    queue.connection.disconnect();
  });

  return queue;
}
