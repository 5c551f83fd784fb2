/*
 * Calls between two threads or processes: requests and their answers by id, the abort of a call, errors that keep their
 * code, details and cause. Each has one end; how messages travel between the ends is up to the code that connects them.
 */
import { abortError, onAbort } from '../abort.ts';
import { SentvecError } from '../errors.ts';
import { packError, unpackError, type PackedError } from './packed-error.ts';

/** The argument of a call. */
export type ArgumentOf<Calls, Name extends keyof Calls> = Calls[Name] extends (argument: infer Argument) => unknown
  ? Argument
  : never;
/** What a call resolves to. */
export type ResultOf<Calls, Name extends keyof Calls> = Calls[Name] extends (argument: never) => infer Result
  ? Awaited<Result>
  : never;

/** What a handler knows about a call besides its argument. */
export interface CallContext {
  /** Fires when the caller aborts the call or closes the thread. */
  readonly signal: AbortSignal;
}

/**
 * The functions that answer calls.
 * @typeParam Calls what can be asked: an interface of functions with one argument
 */
export type Handlers<Calls> = {
  readonly [Name in keyof Calls]: (
    argument: ArgumentOf<Calls, Name>,
    context: CallContext,
  ) => Answer<ResultOf<Calls, Name>> | Promise<Answer<ResultOf<Calls, Name>>>;
};

type Answer<Result> = Result | Transferred<Result>;

class Transferred<Value> {
  readonly value: Value;
  readonly buffers: readonly ArrayBuffer[];

  constructor(value: Value, buffers: readonly ArrayBuffer[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

/** The result of a handler, with buffers of it that move to the caller instead of being copied. */
export function transferred<Value>(value: Value, buffers: readonly ArrayBuffer[]): Transferred<Value> {
  return new Transferred(value, buffers);
}

/** Options of {@link Caller.call}. */
export interface CallOptions {
  /** Asks the other end to stop. The call still ends when that has stopped, so that nothing is left running. */
  readonly signal?: AbortSignal | undefined;
  /** Buffers of the argument that move instead of being copied. */
  readonly transfer?: readonly ArrayBuffer[] | undefined;
}

/** What calls the other end of a channel. */
export interface Caller<Calls> {
  /**
   * @throws SentvecError `aborted`, `disposed`, `backend-failed` when the other end has gone; what its handler throws
   */
  call<Name extends keyof Calls & string>(
    name: Name,
    argument: ArgumentOf<Calls, Name>,
    options?: CallOptions,
  ): Promise<ResultOf<Calls, Name>>;
}

/** What travels between the ends. */
export type Message =
  | { readonly kind: 'call'; readonly id: number; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: PackedError };

/** Sends a message to the other end; the buffers move. */
export type Post = (message: Message, transfer: readonly ArrayBuffer[]) => void;
type Request = Extract<Message, { kind: 'call' }>;
type UntypedHandlers = Readonly<Record<string, (argument: unknown, context: CallContext) => unknown>>;

/** Calls that were sent and wait for their answers. */
export class OutgoingCalls<Calls> implements Caller<Calls> {
  readonly #post: Post;
  readonly #pending = new Map<number, { resolve(value: never): void; reject(error: unknown): void }>();
  #lastId = 0;
  #end: Error | undefined;

  constructor(post: Post) {
    this.#post = post;
  }

  /** Calls without an answer. */
  get pending(): number {
    return this.#pending.size;
  }

  async call<Name extends keyof Calls & string>(
    name: Name,
    argument: ArgumentOf<Calls, Name>,
    { signal, transfer = [] }: CallOptions = {},
  ): Promise<ResultOf<Calls, Name>> {
    if (this.#end !== undefined) throw this.#end;
    this.#lastId += 1;
    const id = this.#lastId;
    this.#post({ kind: 'call', id, name, argument }, transfer);
    const answer = this.answerTo<ResultOf<Calls, Name>>(id);
    const stopListening = onAbort(signal, () => this.#post({ kind: 'abort', id }, []));
    try {
      return await answer;
    } catch (error) {
      throw signal?.aborted && SentvecError.is(error, 'aborted') ? abortError(signal) : error;
    } finally {
      stopListening();
    }
  }

  /** The answer that comes under this id. */
  answerTo<Result>(id: number): Promise<Result> {
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
  }

  receive(message: Extract<Message, { kind: 'result' | 'error' }>): void {
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.kind === 'result') pending?.resolve(message.value as never);
    else pending?.reject(unpackError(message.error));
  }

  /** Ends all calls, and each that follows, with an error: the other end has gone. */
  end(error: Error): void {
    this.#end ??= error;
    for (const call of this.#pending.values()) call.reject(this.#end);
    this.#pending.clear();
  }
}

/** Calls of the other end, and the handlers that answer them. */
export class IncomingCalls {
  readonly #post: Post;
  readonly #handlers: UntypedHandlers;
  readonly #serial: boolean;
  readonly #waiting = new Map<number, Request>();
  readonly #running = new Map<number, { readonly controller: AbortController; readonly ended: Promise<void> }>();

  /** @param serial whether a call waits until the one before it is answered; else they run at the same time */
  constructor(post: Post, handlers: object, serial = false) {
    this.#post = post;
    this.#handlers = handlers as UntypedHandlers;
    this.#serial = serial;
  }

  receive(message: Extract<Message, { kind: 'call' | 'abort' }>): void {
    if (message.kind === 'abort') this.#abort(message.id);
    else if (this.#serial && this.#running.size > 0) this.#waiting.set(message.id, message);
    else this.#run(message);
  }

  /** Drops the calls that wait, aborts those that run, and waits until they have ended. */
  async close(): Promise<void> {
    this.#waiting.clear();
    const running = [...this.#running.values()];
    for (const { controller } of running) controller.abort(stopped());
    await Promise.all(running.map(({ ended }) => ended));
  }

  #abort(id: number): void {
    if (this.#waiting.delete(id)) this.#post({ kind: 'error', id, error: packError(stopped()) }, []);
    else this.#running.get(id)?.controller.abort(stopped());
  }

  #run(request: Request): void {
    const controller = new AbortController();
    // A handler that throws at once must not end before it is listed.
    const ended = Promise.resolve().then(() => this.#answer(request, controller.signal));
    this.#running.set(request.id, { controller, ended });
  }

  async #answer({ id, name, argument }: Request, signal: AbortSignal): Promise<void> {
    try {
      const answer = await this.#handlers[name]!(argument, { signal });
      if (answer instanceof Transferred) this.#post({ kind: 'result', id, value: answer.value }, answer.buffers);
      else this.#post({ kind: 'result', id, value: answer }, []);
    } catch (error) {
      this.#post({ kind: 'error', id, error: packError(error) }, []);
    }
    this.#running.delete(id);
    this.#runNext();
  }

  #runNext(): void {
    if (this.#running.size > 0) return;
    for (const next of this.#waiting.values()) {
      this.#waiting.delete(next.id);
      return this.#run(next);
    }
  }
}

/** The caller's own error has its reason; this one only crosses threads. */
function stopped(): SentvecError {
  return new SentvecError('aborted', 'The work was aborted by its caller.');
}
