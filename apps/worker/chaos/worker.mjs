// A worker in a process of its own, configured by its environment. The plain form of `sentvec worker`.
import { readConfiguration, runWorker } from '@sentvec/worker';

const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort());
await runWorker(readConfiguration({}), { signal: stopping.signal });
