// Embeds texts that may crash their process in a separate process. Also defines the protocol between both processes.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  rowOf,
  SentvecError,
  throwIfAborted,
  type Embedded,
  type EmbeddedPieces,
  type EmbeddedText,
  type Embedder,
  type EmbedOptions,
  type EmbedPiecesOptions,
  type EmbeddedSparse,
  type EmbeddedSparseText,
  type EmbedSparseOptions,
  type SparseEmbedder,
  type SparseRole,
} from '@sentvec/core';
import { OutgoingCalls, type ChannelMessage } from '@sentvec/platform/node';
import type { BackendModule } from './backend-module.ts';
import type { WorkerConfiguration } from './configuration.ts';

/** Start data of the embedding process. Serializable as JSON. */
export interface EmbeddingProcessData {
  readonly model: string;
  readonly backend: BackendModule;
  readonly selfCheck: boolean | undefined;
  readonly configuration: WorkerConfiguration;
}

/** Calls that the embedding process answers. */
export interface EmbeddingCalls {
  embed(request: EmbedRequest<EmbedOptions>): Promise<Embedded>;
  embedPieces(request: EmbedRequest<EmbedPiecesOptions>): Promise<EmbeddedPieces>;
  embedSparse(request: EmbedRequest<EmbedSparseOptions & { readonly as: SparseRole }>): Promise<EmbeddedSparse>;
}

/** Texts, and those options that can be sent to another process. */
interface EmbedRequest<Options> {
  readonly texts: readonly string[];
  readonly options: Omit<Options, 'signal' | 'onProgress'>;
}

/** Sends one call to the embedding process. */
type Ask<Result> = (calls: OutgoingCalls<EmbeddingCalls>) => Promise<Result>;

interface EmbeddingProcess {
  readonly child: ChildProcess;
  readonly calls: OutgoingCalls<EmbeddingCalls>;
}

/** Idle time after which the embedding process is stopped, in milliseconds. */
const idleTime = 30_000;

/** Embeds with one model in a separate process, and restarts that process after it has ended. */
export class IsolatedEmbedding {
  readonly #data: EmbeddingProcessData;
  #running: EmbeddingProcess | undefined;
  #idle: NodeJS.Timeout | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(data: EmbeddingProcessData) {
    this.#data = data;
  }

  /** Returns an embedder whose `embed` and `embedPieces` run in the other process. */
  isolate(embedder: Embedder): Embedder {
    const embed = async (
      texts: string | readonly string[],
      { signal, onProgress, ...options }: EmbedOptions = {},
    ): Promise<Embedded | EmbeddedText> => {
      const list = typeof texts === 'string' ? [texts] : texts;
      const ask: Ask<Embedded> = async (calls) => calls.call('embed', { texts: list, options }, { signal });
      const [embedded, { hash }] = await Promise.all([this.#ask(list, signal, ask), embedder.fingerprint(options)]);
      const checked = this.#checked(embedded, hash, onProgress);
      return typeof texts === 'string' ? { ...checked, vector: rowOf(checked.vectors, 0) } : checked;
    };
    const embedPieces: Embedder['embedPieces'] = async (texts, { signal, onProgress, ...options } = {}) => {
      const ask: Ask<EmbeddedPieces> = async (calls) => calls.call('embedPieces', { texts, options }, { signal });
      const { maxTokens: _, overlapTokens: _1, splitBy: _2, lateChunking: _3, mean: _4, ...space } = options;
      const [embedded, { hash }] = await Promise.all([this.#ask(texts, signal, ask), embedder.fingerprint(space)]);
      return this.#checked(embedded, hash, onProgress);
    };
    return {
      ...embedder,
      embed: embed as Embedder['embed'],
      embedQuery: ((texts, options) => embed(texts, { ...options, as: 'query' })) as Embedder['embedQuery'],
      embedDocuments: ((texts, options) => embed(texts, { ...options, as: 'document' })) as Embedder['embedDocuments'],
      embedPieces,
      embedStream: (texts, options) => embedder.embedStream(texts, options),
      fingerprint: (options) => embedder.fingerprint(options),
      dispose: () => embedder.dispose(),
      [Symbol.asyncDispose]: () => embedder.dispose(),
    };
  }

  /** Returns a sparse embedder whose `embedQuery` and `embedDocuments` run in the other process. */
  isolateSparse(embedder: SparseEmbedder): SparseEmbedder {
    const embedAs = (as: SparseRole) => {
      const embed = async (
        texts: string | readonly string[],
        { signal, onProgress, ...options }: EmbedSparseOptions = {},
      ): Promise<EmbeddedSparse | EmbeddedSparseText> => {
        const list = typeof texts === 'string' ? [texts] : texts;
        const ask: Ask<EmbeddedSparse> = async (calls) =>
          calls.call('embedSparse', { texts: list, options: { ...options, as } }, { signal });
        const [embedded, { hash }] = await Promise.all([this.#ask(list, signal, ask), embedder.fingerprint()]);
        const { vectors, receipt } = this.#checked(embedded, hash, onProgress);
        return typeof texts === 'string' ? { vector: vectors[0]!, receipt } : { vectors, receipt };
      };
      return embed as SparseEmbedder['embedDocuments'];
    };
    return {
      ...embedder,
      embedQuery: embedAs('query'),
      embedDocuments: embedAs('document'),
      embedStream: (texts, options) => embedder.embedStream(texts, options),
      decode: (vector, topK) => embedder.decode(vector, topK),
      fingerprint: () => embedder.fingerprint(),
      dispose: () => embedder.dispose(),
      [Symbol.asyncDispose]: () => embedder.dispose(),
    };
  }

  #checked<Result extends Pick<Embedded, 'receipt'>>(
    embedded: Result,
    hash: string,
    onProgress: EmbedOptions['onProgress'],
  ): Result {
    const { fingerprint, rows, tokens } = embedded.receipt;
    onProgress?.({ rows, tokens });
    if (fingerprint === hash) return embedded;
    throw new SentvecError('space-mismatch', `The model ${this.#data.model} has changed since this worker loaded it.`);
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

  /** Sends one call at a time, so that a crash of the process can only be caused by that call. */
  async #ask<Result>(texts: readonly string[], signal: AbortSignal | undefined, ask: Ask<Result>): Promise<Result> {
    const turn = this.#last.then(async () => this.#askAlone(texts, signal, ask));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #askAlone<Result>(
    texts: readonly string[],
    signal: AbortSignal | undefined,
    ask: Ask<Result>,
  ): Promise<Result> {
    const call = async (): Promise<Result> => {
      throwIfAborted(signal);
      this.#running ??= this.#start();
      return ask(this.#running.calls);
    };
    clearTimeout(this.#idle);
    try {
      return await call();
    } catch (error) {
      // Another program may have used up the memory, so a text counts as the cause only after the process has ended
      // twice.
      if (this.#running || texts.length > 1) throw error;
      return await call();
    } finally {
      this.#idle = setTimeout(() => void this.close(), idleTime).unref();
    }
  }

  #start(): EmbeddingProcess {
    const child = fork(new URL('embedding-process.js', import.meta.url), {
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    // Ignore failures to send to an ended process: the exit handler fails the pending calls.
    const calls = new OutgoingCalls<EmbeddingCalls>((message) => void child.send(message, () => {}));
    const running = { child, calls };
    const end = (reason: string): void => {
      if (this.#running === running) this.#running = undefined;
      calls.end(
        new SentvecError('backend-failed', `The process that embedded this text ended unexpectedly: ${reason}.`),
      );
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
