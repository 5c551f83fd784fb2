// The thread in which the reference of a large model is computed: it blocks while it does, and nobody else.
import { directoryModel } from '@sentvec/core/node';
import { serveThread } from '@sentvec/platform/node';
import { computeReference } from '../compute-reference.ts';
import type { ReferenceProtocol } from './messages.ts';

serveThread<ReferenceProtocol>(async ({ directory, name }) => {
  const files = await directoryModel(directory, { name });
  return { ready: undefined, handlers: { compute: (batch) => computeReference(files, batch) } };
});
