import { runtimeContract } from '@sentvec/testing';
import { inProcessRuntime } from '@sentvec/workflow';

runtimeContract({
  name: 'in-process',
  readsAhead: 3,
  connect: async () => {
    const runtime = inProcessRuntime();
    return { runtime, elsewhere: async () => runtime, close: () => runtime.close() };
  },
});
