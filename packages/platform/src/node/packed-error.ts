/*
 * Errors in the form in which they cross threads. A structured clone would lose the code, the details and the class.
 */
import { inspect } from 'node:util';
import { SentvecError, type ErrorCode, type ErrorDetails } from '../errors.ts';

/** An error as a plain object. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Of a SentvecError. */
  readonly sentvec: { readonly code: ErrorCode; readonly details: ErrorDetails } | undefined;
  /** Of a system error. */
  readonly system: { readonly code: string; readonly syscall: string } | undefined;
  /** Another error, or the text of a thrown value that is not an error. */
  readonly cause: PackedError | string | undefined;
}

/** Causes beyond this depth are left out: a chain may be a circle. */
const deepestCause = 8;

/** @param error whatever was thrown */
export function packError(error: unknown, depth = 0): PackedError {
  const { name, message, stack, cause } = error instanceof Error ? error : new Error(String(error));
  return {
    name,
    message,
    stack,
    sentvec: SentvecError.is(error) ? { code: error.code, details: error.details } : undefined,
    system: systemPart(error),
    cause: depth === deepestCause ? undefined : packCause(cause, depth),
  };
}

function packCause(cause: unknown, depth: number): PackedError['cause'] {
  if (cause === undefined) return undefined;
  if (cause instanceof Error) return packError(cause, depth + 1);
  return typeof cause === 'string' ? cause : inspect(cause);
}

function systemPart(error: unknown): PackedError['system'] {
  const { code, syscall } = error as Partial<Record<'code' | 'syscall', unknown>>;
  return typeof code === 'string' && typeof syscall === 'string' ? { code, syscall } : undefined;
}

/** The error again, with the stack of the thread that it comes from. */
export function unpackError({ name, message, stack, sentvec, system, cause }: PackedError): Error {
  const options = cause === undefined ? {} : { cause: typeof cause === 'string' ? cause : unpackError(cause) };
  const error =
    sentvec === undefined
      ? Object.assign(new Error(message, options), { name }, system)
      : new SentvecError(sentvec.code, message, sentvec.details, options);
  if (stack !== undefined) error.stack = stack;
  return error;
}
