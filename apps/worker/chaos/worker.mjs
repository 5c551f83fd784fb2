// A worker process, configured by environment variables: `sentvec worker` without the command-line interface. The
// optional first argument is the URL of a backend module.
import { readConfiguration, runWorker } from '@sentvec/worker';

const [, , module] = process.argv;
const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort());
await runWorker(readConfiguration({}), { signal: stopping.signal, ...(module && { backend: { module } }) });
