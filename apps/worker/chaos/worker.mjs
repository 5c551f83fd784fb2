// A worker in a process of its own, configured by its environment. The plain form of `sentvec worker`. The first argument
// may be the URL of a module that makes its backend.
import { readConfiguration, runWorker } from '@sentvec/worker';

const [, , module] = process.argv;
const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort());
await runWorker(readConfiguration({}), { signal: stopping.signal, ...(module && { backend: { module } }) });
