// A worker in a process of its own, configured by its environment, as `sentvec worker` is one.
import { readConfiguration, runWorker } from '@sentvec/worker';

await runWorker(readConfiguration({}), { signal: new AbortController().signal });
