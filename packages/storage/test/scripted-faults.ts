// What the tests of all object stores need: faults that come in a given order, and errors to look at.
import type { SentvecError } from '@sentvec/platform';
import type { ObjectCall, ObjectFault } from '@sentvec/testing';

/** The calls of a server, and faults for them. */
export interface ScriptedFaults {
  /** Since the last `fail`. */
  readonly calls: ObjectCall[];
  /** Faults for the first calls, in order; the rest is served. */
  readonly fail: (...faults: readonly (ObjectFault | undefined)[]) => void;
}

/** @param server the server, once it has been started */
export function scriptFaults(
  server: () => { setFault(fault: (call: ObjectCall) => ObjectFault | undefined): void },
): ScriptedFaults {
  const calls: ObjectCall[] = [];
  return {
    calls,
    fail: (...faults) => {
      const left = [...faults];
      calls.length = 0;
      server().setFault((call) => {
        calls.push(call);
        return left.shift();
      });
    },
  };
}

/** The error with which something fails. */
export async function failure(work: Promise<unknown>): Promise<SentvecError> {
  return work.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: SentvecError) => error,
  );
}
