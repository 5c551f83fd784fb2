// A worker process, configured by environment variables, like `sentvec worker`.
import { readConfiguration, runWorker } from '@sentvec/worker';

await runWorker(readConfiguration({}), { signal: new AbortController().signal });
