/** The identity of requests, the claims on what only one run may write at a time, and the ids of runs. */
import { createHash, randomUUID } from 'node:crypto';
import { SentvecError } from '@sentvec/core';
import { canonicalJson } from '@sentvec/platform';
import { shorten, toJsonValue } from './values.ts';
import type { AnyWorkflow } from './workflow.ts';

/** What a workflow knows about a request beyond its input. See `identify` of `defineWorkflow`. */
export interface RequestIdentity {
  /**
   * JSON that distinguishes two requests with equal input, such as size and time of the files that they name. `undefined`
   * when that cannot be known: the request is then never merged with another.
   */
  readonly content?: unknown;
  /** Whether a request must always be done, and is never merged with another that is the same. @default false */
  readonly alwaysNew?: boolean | undefined;
  /** What only one live run may write, by names that all processes use, such as `folder:/data/vectors`. */
  readonly writes?: readonly string[] | undefined;
}

/** A request as runtimes compare it. */
export interface Request {
  /** A hash of workflow and input. */
  readonly input: string;
  /** A hash of workflow, input and content. `undefined` when the content is not known. */
  readonly content: string | undefined;
  /** Whether a live run of the same content answers it. */
  readonly merges: boolean;
  readonly writes: readonly string[];
}

/**
 * @param input checked by the workflow's schema
 * @throws SentvecError `invalid-argument` when `identify` gives what JSON cannot hold; whatever `identify` throws
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
    `"${shorten(id, 100)}" cannot be the id of a run: use up to 64 letters, digits, "-" and "_", beginning with a letter.`,
  );
}

/** The error of a request with the id of a run that was asked for something else. */
export function otherRequestError(run: string, differs: 'input' | 'content'): SentvecError {
  const what = differs === 'input' ? 'has another input' : 'has completed, and what it read has changed since';
  return new SentvecError('invalid-argument', `Run ${run} ${what}. Choose another id.`, { run });
}

/** The error of a request that would write what a live run writes. */
export function busyError(run: string, written: string): SentvecError {
  const name = written.slice(written.indexOf(':') + 1);
  return new SentvecError('invalid-output', `Run ${run} is writing to ${name}. Wait until it ends, or cancel it.`, {
    file: name,
    run,
  });
}
