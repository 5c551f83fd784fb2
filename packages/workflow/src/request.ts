/** The identity of requests, exclusive claims on outputs, and the ids of runs. */
import { createHash, randomUUID } from 'node:crypto';
import { SentvecError } from '@sentvec/core';
import { canonicalJson } from '@sentvec/platform';
import { shorten, toJsonValue } from './values.ts';
import type { AnyWorkflow } from './workflow.ts';

/** The identity of a request beyond its input. See `identify` of `defineWorkflow`. */
export interface RequestIdentity {
  /**
   * JSON that distinguishes requests with equal input, such as size and time of their files. `undefined` if it is
   * unknown: the request is then never merged with another.
   */
  readonly content?: unknown;
  /** Whether the request always starts a new run, and is never merged with an equal request. @default false */
  readonly alwaysNew?: boolean | undefined;
  /**
   * The outputs that only one live run may write, such as `folder:/data/vectors`. All processes must use the same
   * names.
   */
  readonly writes?: readonly string[] | undefined;
}

/** The form of a request that runtimes compare. */
export interface Request {
  /** A hash of workflow and input. */
  readonly input: string;
  /** A hash of workflow, input and content. `undefined` if the content is unknown. */
  readonly content: string | undefined;
  /** Whether the request returns a live run with the same content. */
  readonly merges: boolean;
  readonly writes: readonly string[];
}

/**
 * Computes the identity of a request.
 * @param input the input, validated by the workflow's schema
 * @throws SentvecError `invalid-argument` when `identify` returns a value that JSON cannot represent; errors of
 * `identify`
 */
export async function identifyRequest(workflow: AnyWorkflow, input: unknown): Promise<Request> {
  const identity: RequestIdentity = (await workflow.identify?.(input as never)) ?? { content: null };
  const { content, alwaysNew = false, writes = [] } = identity;
  const hash = (...parts: readonly unknown[]) =>
    createHash('sha256')
      .update(canonicalJson([workflow.id, input, ...parts]))
      .digest('hex')
      .slice(0, 32);
  if (content === undefined) return { input: hash(), content: undefined, merges: false, writes };
  const plain = toJsonValue(content, `The content that identifies a request to workflow "${workflow.id}"`, Infinity);
  return { input: hash(), content: hash(plain), merges: !alwaysNew, writes };
}

/** A new id: an `r` and 32 hexadecimal digits, which BullMQ accepts as a job id. */
export function newRunId(): string {
  return `r${randomUUID().replaceAll('-', '')}`;
}

/**
 * Checks an id that a caller chose.
 *
 * @returns the id
 * @throws SentvecError `invalid-argument` unless every runtime can use it
 */
export function checkRunId(id: string): string {
  if (/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(id)) return id;
  throw new SentvecError(
    'invalid-argument',
    `"${shorten(id, 100)}" is not a valid run id. Use up to 64 letters, digits, "-" and "_", beginning with a letter.`,
  );
}

/** The error for a request with the id of a run with another request. */
export function otherRequestError(run: string, differs: 'input' | 'content'): SentvecError {
  const what = differs === 'input' ? 'has another input' : 'has completed, and its input files have changed since';
  return new SentvecError('invalid-argument', `Run ${run} ${what}. Choose another id.`, { run });
}

/** The error for a request that would write the same output as a live run. */
export function busyError(run: string, written: string): SentvecError {
  const name = written.slice(written.indexOf(':') + 1);
  return new SentvecError('invalid-output', `Run ${run} is writing to ${name}. Wait until it ends, or cancel it.`, {
    file: name,
    run,
  });
}
