// The thread in which the reference of a large model is computed. The computation blocks this thread and no other.
import { directoryModel } from '@sentvec/core/node';
import { serveThread } from '@sentvec/platform/node';
import { computeReference } from './compute-reference.ts';
import type { ReferenceProtocol } from './in-thread.ts';

serveThread<ReferenceProtocol>(async ({ directory, name }) => {
  const files = await directoryModel(directory, { name });
  return { ready: undefined, handlers: { compute: (batch) => computeReference(files, batch) } };
});
