// The worker thread that computes the reference values of a large model for the self-check, so that the computation
// does not block the calling thread.
import { directoryModel } from '@sentvec/core/node';
import { serveThread } from '@sentvec/platform/node';
import { computeReference } from './compute-reference.ts';
import type { ReferenceProtocol } from './in-thread.ts';

serveThread<ReferenceProtocol>(async ({ directory, name }) => {
  const files = await directoryModel(directory, { name });
  return { ready: undefined, handlers: { compute: (batch) => computeReference(files, batch) } };
});
