// Says how a producer fails, and whether it has loaded BullMQ for that. One of BullMQ's dependencies, a CommonJS
// module, shows it.
import { createRequire } from 'node:module';
import { queueRuntime } from '@sentvec/queue/producer';

const { cache } = createRequire(import.meta.url);
const isLoaded = () => Object.keys(cache).some((path) => path.includes('cron-parser'));
const error = await queueRuntime({ url: process.argv[2] }).catch((reason) => reason);
const before = isLoaded();
await import('bullmq');
console.log(`${error.code}; BullMQ loaded: ${before}, then ${isLoaded()}`);
