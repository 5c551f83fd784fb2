// A worker in a process of its own, for tests that kill it. Says `ready` when it serves.
import { startQueueWorker } from '@sentvec/queue';
import { marking } from './workflows.mjs';

const [url, directory] = process.argv.slice(2);
const recovery = { lockDuration: 2000, stalledInterval: 1000 };
const worker = await startQueueWorker({ url, workflows: [marking(directory)], concurrency: 2, window: 16, recovery });
process.on('SIGTERM', () => void worker.stop(5000).then(() => process.exit(0)));
console.log('ready');
