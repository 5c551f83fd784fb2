// The thread in which the reference vectors of a large model are computed, for the self-check. The computation blocks
// this thread and no other.
import { directoryModel } from '@sentvec/core/node';
import { serveThread } from '@sentvec/platform/node';
import { computeReference } from './compute-reference.ts';
import type { ReferenceProtocol } from './in-thread.ts';

serveThread<ReferenceProtocol>(async ({ directory, name }) => {
  const files = await directoryModel(directory, { name });
  return { ready: undefined, handlers: { compute: (batch) => computeReference(files, batch) } };
});
