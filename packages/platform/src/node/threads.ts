/*
 * Worker threads, both sides: `startThread` for the program that starts one, `serveThread` for the file that runs in it.
 */
import { parentPort, Worker, workerData, type ResourceLimits } from 'node:worker_threads';
import { SentvecError } from '../errors.ts';
import {
  IncomingCalls,
  OutgoingCalls,
  type ArgumentOf,
  type Caller,
  type CallOptions,
  type Handlers,
  type Message,
  type Post,
  type ResultOf,
} from './channel.ts';
import { locatePackageFile, type PackageFile } from './installed-files.ts';
import { packError } from './packed-error.ts';

/** What a program and its thread say to each other. All of it must survive a structured clone. */
export interface ThreadProtocol {
  /** What the thread is started with. */
  readonly data: unknown;
  /** What the thread reports once it is ready. */
  readonly ready: unknown;
  /** What the thread can be asked: functions of one argument. */
  readonly calls: object;
  /** What the thread can ask the program. */
  readonly programCalls: object;
}

/** Options of {@link startThread}. */
export interface ThreadOptions<Protocol extends ThreadProtocol> {
  /** What works in the thread, for messages and debuggers: "tokenizer". */
  readonly name: string;
  readonly data: Protocol['data'];
  /** What to do when the thread has died, as a sentence. @default "Load the model again." */
  readonly remedy?: string | undefined;
  /** Limits of its memory. */
  readonly resourceLimits?: ResourceLimits | undefined;
  /** Answers to what the thread asks. */
  readonly handlers?: Handlers<Protocol['programCalls']> | undefined;
  /** Called once when the thread has ended: with `disposed` when it was asked to, else with the reason. */
  readonly onEnd?: ((reason: SentvecError) => void) | undefined;
}

/** A thread, as the program sees it. It keeps the process alive only while a call is pending or it shuts down. */
export interface Thread<Protocol extends ThreadProtocol> extends Caller<Protocol['calls']> {
  readonly ready: Protocol['ready'];
  /** Fails what is pending with `disposed`; ends the thread once the calls that run in it have stopped. */
  close(): Promise<void>;
  /** Fails what is pending with `disposed`; ends the thread at once, also in the middle of a computation. */
  terminate(): Promise<void>;
}

/** The id under which a thread says that it is ready, or why it cannot be. */
const readyId = 0;

/**
 * Starts a worker thread, and waits until it is ready.
 * @param file what the thread runs, which calls {@link serveThread}: a file of a package, which is found in a bundled
 * program, too, or a URL
 * @throws what the start in the thread throws; SentvecError `bundled` when a bundler has left the file out,
 * `backend-failed` when the thread cannot be started, or dies before it is ready
 */
export async function startThread<Protocol extends ThreadProtocol>(
  file: PackageFile | URL,
  options: ThreadOptions<Protocol>,
): Promise<Thread<Protocol>> {
  const url = file instanceof URL ? file : locatePackageFile(file);
  return new WorkerThread<Protocol>(url, options).start();
}

function createWorker<Protocol extends ThreadProtocol>(
  url: URL,
  { name, data, resourceLimits = {} }: ThreadOptions<Protocol>,
): Worker {
  try {
    // The flags of the program (--input-type, loaders) are not for the file of the thread.
    return new Worker(url, { workerData: data, execArgv: [], name: `sentvec ${name}`, resourceLimits });
  } catch (cause) {
    const message = `The thread of the ${name} cannot be started: ${reasonOf(cause)}`;
    throw new SentvecError('backend-failed', message, {}, { cause });
  }
}

/** What an error says, as a sentence. */
function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/[^.!?]$/u, '$&.');
}

class WorkerThread<Protocol extends ThreadProtocol> implements Thread<Protocol> {
  ready!: Protocol['ready'];
  readonly #name: string;
  readonly #worker: Worker;
  readonly #calls: OutgoingCalls<Protocol['calls']>;
  readonly #exit: Promise<void>;
  #closing = false;

  constructor(url: URL, options: ThreadOptions<Protocol>) {
    const { name, handlers = {} } = options;
    this.#worker = createWorker(url, options);
    this.#name = name;
    const post: Post = (message, transfer) => this.#worker.postMessage(message, transfer);
    this.#calls = new OutgoingCalls(post);
    const answers = new IncomingCalls(post, handlers);
    this.#worker.on('message', (message: Message) => route(message, this.#calls, answers));
    this.#exit = this.#watch(options);
  }

  /** Waits until the thread says that it is ready. */
  async start(): Promise<this> {
    try {
      this.ready = await this.#calls.answerTo(readyId);
      this.#release();
      return this;
    } catch (error) {
      await this.terminate();
      throw error;
    }
  }

  async call<Name extends keyof Protocol['calls'] & string>(
    name: Name,
    argument: ArgumentOf<Protocol['calls'], Name>,
    options?: CallOptions,
  ): Promise<ResultOf<Protocol['calls'], Name>> {
    this.#worker.ref();
    try {
      return await this.#calls.call(name, argument, options);
    } finally {
      this.#release();
    }
  }

  close(): Promise<void> {
    return this.#end(() => this.#worker.postMessage({ kind: 'close' } satisfies Close));
  }

  terminate(): Promise<void> {
    return this.#end(() => void this.#worker.terminate());
  }

  #end(stop: () => void): Promise<void> {
    this.#closing = true;
    // Keeps the process alive until the thread has ended, so that `await close()` can resolve.
    this.#worker.ref();
    this.#calls.end(this.#disposed());
    stop();
    return this.#exit;
  }

  #release(): void {
    if (!this.#closing && this.#calls.pending === 0) this.#worker.unref();
  }

  #watch({ name, remedy = 'Load the model again.', onEnd }: ThreadOptions<Protocol>): Promise<void> {
    let failure: SentvecError | undefined;
    const fail = (cause: unknown): void => {
      const message = `The thread of the ${name} failed: ${reasonOf(cause)} ${remedy}`;
      failure ??= new SentvecError('backend-failed', message, {}, { cause });
    };
    this.#worker.on('error', fail);
    this.#worker.on('messageerror', (error) => {
      fail(error);
      void this.#worker.terminate();
    });
    return new Promise((resolve) => {
      this.#worker.once('exit', () => {
        failure ??= new SentvecError('backend-failed', `The thread of the ${name} ended by itself. ${remedy}`);
        const reason = this.#closing ? this.#disposed() : failure;
        this.#calls.end(reason);
        onEnd?.(reason);
        resolve();
      });
    });
  }

  #disposed(): SentvecError {
    return new SentvecError('disposed', `The ${this.#name} was disposed and can no longer be used.`);
  }
}

/** What a thread offers once it is ready. */
export interface ThreadService<Protocol extends ThreadProtocol> {
  readonly ready: Protocol['ready'];
  readonly handlers: Handlers<Protocol['calls']>;
  /** Frees what the thread holds, before it ends. Called when no handler is running any more. */
  readonly dispose?: (() => Promise<void> | void) | undefined;
}

/** Options of {@link serveThread}. */
export interface ServeOptions {
  /** Whether a call waits until the one before it is answered; else they run at the same time. @default false */
  readonly serial?: boolean | undefined;
}

/**
 * The thread's side of {@link startThread}: the file of the thread calls it once.
 * @param start makes what the thread works with. When it throws, so does `startThread`
 */
export function serveThread<Protocol extends ThreadProtocol>(
  start: (
    data: Protocol['data'],
    program: Caller<Protocol['programCalls']>,
  ) => ThreadService<Protocol> | Promise<ThreadService<Protocol>>,
  { serial = false }: ServeOptions = {},
): void {
  const port = parentPort!;
  const post: Post = (message, transfer) => port.postMessage(message, transfer);
  const program = new OutgoingCalls<Protocol['programCalls']>(post);
  let service: ThreadService<Protocol> | undefined;
  let answers: IncomingCalls | undefined; // Calls come only after the thread has said that it is ready.
  const open = async (): Promise<void> => {
    try {
      service = await start(workerData as Protocol['data'], program);
      answers = new IncomingCalls(post, service.handlers, serial);
      post({ kind: 'result', id: readyId, value: service.ready }, []);
    } catch (error) {
      post({ kind: 'error', id: readyId, error: packError(error) }, []);
    }
  };
  const close = async (): Promise<void> => {
    await answers?.close();
    await service?.dispose?.();
    process.exit();
  };
  port.on('message', (message: Message | Close) => {
    if (message.kind === 'close') void close();
    else route(message, program, answers);
  });
  void open();
}

interface Close {
  readonly kind: 'close';
}

function route<Calls>(message: Message, calls: OutgoingCalls<Calls>, answers: IncomingCalls | undefined): void {
  if (message.kind === 'call' || message.kind === 'abort') answers?.receive(message);
  else calls.receive(message);
}
