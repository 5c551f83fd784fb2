// Embedding in a process of its own, for texts that may end the process which embeds them. Both sides' protocol.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  rowOf,
  SentvecError,
  throwIfAborted,
  type Embedded,
  type EmbeddedText,
  type Embedder,
  type EmbedOptions,
} from '@sentvec/core';
import { OutgoingCalls, type ChannelMessage } from '@sentvec/platform/node';
import type { BackendModule } from './backend-module.ts';
import type { WorkerConfiguration } from './configuration.ts';

/** What the process is started with. JSON. */
export interface EmbeddingProcessData {
  readonly model: string;
  readonly backend: BackendModule;
  readonly selfCheck: boolean | undefined;
  readonly configuration: WorkerConfiguration;
}

/** What it is asked. */
export interface EmbeddingCalls {
  embed(request: { readonly texts: readonly string[]; readonly options: SentOptions }): Promise<Embedded>;
}

/** The options that can be sent to another process. */
export type SentOptions = Omit<EmbedOptions, 'signal' | 'onProgress'>;

type EmbedRequest = [texts: readonly string[], options: SentOptions, signal: AbortSignal | undefined];

interface EmbeddingProcess {
  readonly child: ChildProcess;
  readonly calls: OutgoingCalls<EmbeddingCalls>;
}

/** Milliseconds without a call after which the process ends. */
const idleTime = 30_000;

/** Embeds with one model in a process of its own, which is started again after it has ended. */
export class IsolatedEmbedding {
  readonly #data: EmbeddingProcessData;
  #running: EmbeddingProcess | undefined;
  #idle: NodeJS.Timeout | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(data: EmbeddingProcessData) {
    this.#data = data;
  }

  /** The embedder, with its `embed` in the other process. */
  isolate(embedder: Embedder): Embedder {
    const embed = async (
      texts: string | readonly string[],
      { signal, onProgress, ...options }: EmbedOptions = {},
    ): Promise<Embedded | EmbeddedText> => {
      const isOne = typeof texts === 'string';
      const [embedded, { hash }] = await Promise.all([
        this.#embed(isOne ? [texts] : texts, options, signal),
        embedder.fingerprint(options),
      ]);
      const { fingerprint, rows, tokens } = embedded.receipt;
      onProgress?.({ rows, tokens });
      if (fingerprint === hash) return isOne ? { ...embedded, vector: rowOf(embedded.vectors, 0) } : embedded;
      throw new SentvecError(
        'space-mismatch',
        `The model ${this.#data.model} has changed since this worker loaded it.`,
      );
    };
    return {
      ...embedder,
      embed: embed as Embedder['embed'],
      embedQuery: ((texts, options) => embed(texts, { ...options, as: 'query' })) as Embedder['embedQuery'],
      embedDocuments: ((texts, options) => embed(texts, { ...options, as: 'document' })) as Embedder['embedDocuments'],
      embedStream: (texts, options) => embedder.embedStream(texts, options),
      fingerprint: (options) => embedder.fingerprint(options),
      dispose: () => embedder.dispose(),
      [Symbol.asyncDispose]: () => embedder.dispose(),
    };
  }

  /** Ends the process. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const child = this.#running?.child;
    this.#running = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** One call at a time, so that the end of the process is the fault of that call, if of any. */
  async #embed(...request: EmbedRequest): Promise<Embedded> {
    const turn = this.#last.then(async () => this.#embedAlone(...request));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #embedAlone(...request: EmbedRequest): Promise<Embedded> {
    clearTimeout(this.#idle);
    try {
      return await this.#call(...request);
    } catch (error) {
      const [texts] = request;
      // Another program may have used up the memory: a text is blamed only when it has ended the process twice.
      if (this.#running || texts.length > 1) throw error;
      return await this.#call(...request);
    } finally {
      this.#idle = setTimeout(() => void this.close(), idleTime).unref();
    }
  }

  async #call(texts: readonly string[], options: SentOptions, signal: AbortSignal | undefined): Promise<Embedded> {
    throwIfAborted(signal);
    this.#running ??= this.#start();
    return this.#running.calls.call('embed', { texts, options }, { signal });
  }

  #start(): EmbeddingProcess {
    const child = fork(new URL('embedding-process.js', import.meta.url), {
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    // A message to a process that has ended is lost; its end is what counts.
    const calls = new OutgoingCalls<EmbeddingCalls>((message) => void child.send(message, () => {}));
    const running = { child, calls };
    const end = (reason: string): void => {
      if (this.#running === running) this.#running = undefined;
      calls.end(new SentvecError('backend-failed', `The process that embedded this text ended: ${reason}.`));
    };
    child.on('message', (message: ChannelMessage) => {
      if (message.kind === 'result' || message.kind === 'error') calls.receive(message);
    });
    child.on('error', (error) => end(error.message));
    child.on('exit', (code, signal) => end(signal === null ? `exit code ${code}` : `killed by ${signal}`));
    child.send(this.#data, () => {});
    return running;
  }
}
