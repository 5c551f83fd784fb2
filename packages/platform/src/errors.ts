/*
 * The one error class of sentvec, and every code that it can have.
 */
import { escapeControlCharacters } from './control-characters.ts';

/** Every way in which sentvec can fail. The set is closed: a caller may switch over it. */
export type ErrorCode =
  /** An option or argument has a value that cannot be used. */
  | 'invalid-argument'
  /** No model folder, hub repository or file of that name. */
  | 'model-not-found'
  /** The hub refused the credentials, or needs some. */
  | 'model-access-denied'
  /** The network or the hub failed, after retries. */
  | 'download-failed'
  /** A model folder is incomplete, contradicts itself, or holds a broken file. */
  | 'invalid-model'
  /**
   * The model folder is sound, but names a part that sentvec does not have (module, activation, pooling, architecture).
   */
  | 'unsupported-model'
  /** A backend cannot work on this machine. */
  | 'backend-unavailable'
  /** A backend failed while it computed. */
  | 'backend-failed'
  /**
   * A backend computes something else than the model says; it was refused when the model was loaded. The message says
   * by how much.
   */
  | 'backend-wrong'
  /** Something was used after `dispose()`. */
  | 'disposed'
  /** The caller aborted. */
  | 'aborted'
  /** One text cannot be embedded; `details.row` says which. */
  | 'invalid-text'
  /** A corpus file, or a row of it, cannot be read. */
  | 'invalid-corpus'
  /** Two embedding spaces would be mixed; the message says which part differs. */
  | 'space-mismatch'
  /** An output folder exists already, is incomplete, or corrupt. */
  | 'invalid-output'
  /** Reading or writing a file failed (full disk, permissions). */
  | 'io-failed'
  /** Training cannot go on: the loss or a gradient stopped being a finite number, or the loss runs away. */
  | 'training-failed'
  /** An optional package is not installed. */
  | 'missing-dependency'
  /** A bundler has left out a file that sentvec needs at run time; the message has the line of configuration. */
  | 'bundled'
  /** A step of a workflow failed for a reason that has no code of its own; `details.step` says which. */
  | 'step-failed'
  /** Some items failed, no more than may (`maxFailed`), and the rest is done: there is no complete output. */
  | 'incomplete'
  /** A step of a workflow took longer than it may. */
  | 'timed-out'
  /** A job is malformed, too large, or names a path, bucket, model or workflow that this worker does not serve. */
  | 'job-refused'
  /** The queue's Redis cannot be reached, refuses the credentials, is too old, or would evict jobs. */
  | 'queue-unavailable'
  /** No run of that id. */
  | 'run-not-found';

/** What an error points at. Every field is optional; fields that are set are also named in the message. */
export interface ErrorDetails {
  /** The file, as the user named it. */
  readonly file?: string | undefined;
  /** The row, counted from 0, within its file or input array. */
  readonly row?: number | undefined;
  /** The file or folder is not there, for this process at least: another machine may see it. */
  readonly missing?: boolean | undefined;
  /** Further facts for programs, JSON values only. */
  readonly [fact: string]: unknown;
}

const marker = Symbol.for('@sentvec/core.error');

/**
 * The one error class of sentvec. The message says what is wrong, where, and what to do; `code` is for programs.
 *
 * `SentvecError.is(error)` also recognizes errors of another installed copy of this package, and errors that came from
 * a worker thread through {@link SentvecError.from}.
 */
export class SentvecError extends Error {
  /** `AbortError` with the code `aborted`, by which other libraries recognize an abort; else `SentvecError`. */
  override readonly name: 'SentvecError' | 'AbortError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    // Messages name files, modules and tokens as strangers called them.
    super(escapeControlCharacters(message), options);
    Object.defineProperty(this, marker, { value: true });
    this.name = code === 'aborted' ? 'AbortError' : 'SentvecError';
    this.code = code;
    this.details = details;
  }

  /**
   * Whether `error` is a SentvecError, whichever copy of the package made it. With `code`, also whether it has that
   * code.
   */
  static is(error: unknown, code?: ErrorCode): error is SentvecError {
    if (typeof error !== 'object' || error === null || !(marker in error)) return false;
    return code === undefined || ('code' in error && error.code === code);
  }

  /** The plain form in which an error crosses a thread or process boundary. */
  toJSON(): { code: ErrorCode; message: string; details: ErrorDetails } {
    return { code: this.code, message: this.message, details: this.details };
  }

  /** The error again, from its plain form. */
  static from(plain: { code: ErrorCode; message: string; details?: ErrorDetails }): SentvecError {
    return new SentvecError(plain.code, plain.message, plain.details);
  }
}
