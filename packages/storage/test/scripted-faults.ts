// Helpers for the tests of all object stores: faults in a given order, and rejected errors.
import type { SentvecError } from '@sentvec/platform';
import type { ObjectCall, ObjectFault } from '@sentvec/testing';

/** The requests of a server, and faults for them. */
export interface ScriptedFaults {
  /** Requests since the last `fail`. */
  readonly calls: ObjectCall[];
  /** Sets faults for the next requests, in order; later requests succeed. */
  readonly fail: (...faults: readonly (ObjectFault | undefined)[]) => void;
}

/** @param server function that returns the started server */
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

/** Returns the error with which a promise rejects. */
export async function failure(work: Promise<unknown>): Promise<SentvecError> {
  return work.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: SentvecError) => error,
  );
}
