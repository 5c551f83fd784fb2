import type { AnyWorkflow } from '@sentvec/workflow';
import { afterEach, describe } from 'vitest';
import { runtimeControlContract } from './runtime-contract-control.ts';
import { runtimeFailedItemsContract } from './runtime-contract-failed-items.ts';
import { runtimeFailureContract } from './runtime-contract-failures.ts';
import type { ConnectedRuntime, RuntimeFixture } from './runtime-contract-fixture.ts';
import { runtimeOrderContract } from './runtime-contract-order.ts';

/** What the contract has to know about a runtime. */
export interface RuntimeContractOptions {
  readonly name: string;
  /** The most items that it takes from a source before the first of them is done. Make it small, for speed. */
  readonly readsAhead: number;
  /** A runtime, empty, that can run these workflows at least two steps at once. Called for each test. */
  readonly connect: (workflows: readonly AnyWorkflow[]) => Promise<ConnectedRuntime>;
}

/**
 * A vitest suite that every workflow runtime must pass; call it at the top level of a test file. Steps run in the
 * process of the test, so that it can see and hold them.
 */
export function runtimeContract({ name, readsAhead, connect }: RuntimeContractOptions): void {
  describe(`runtime contract of ${name}`, () => {
    const open: ConnectedRuntime[] = [];
    afterEach(async () => {
      await Promise.all(open.splice(0).map((connected) => connected.close()));
    });
    const fixture: RuntimeFixture = {
      readsAhead,
      connect: async (...workflows) => {
        const connected = await connect(workflows);
        open.push(connected);
        return connected;
      },
    };
    runtimeOrderContract(fixture);
    runtimeFailureContract(fixture);
    runtimeFailedItemsContract(fixture);
    runtimeControlContract(fixture);
  });
}
