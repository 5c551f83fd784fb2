import { Worker } from 'node:worker_threads';
import { SentvecError } from '../errors.ts';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import type { TokenizedText, TokenizeOptions } from '../types.ts';
import {
  definitionToJson,
  unpackTexts,
  type TokenizerLibrary,
  type TokenizerRequest,
  type TokenizerResponse,
  type TokenizerThreadData,
} from './tokenizer-messages.ts';

/** Texts of a request. The results of several requests come in several turns of the event loop, that of one in one. */
const requestTexts = 512;

interface Pending {
  resolve(texts: TokenizedText[]): void;
  reject(error: unknown): void;
}

/** A worker thread with a tokenizer in it. It keeps the process alive only while it works. */
export class TokenizerThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #ended: SentvecError | undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (response: TokenizerResponse) => this.#receive(response));
    worker.on('error', (error) => this.#end(describeEnd(error)));
    worker.on('exit', () =>
      this.#end(new SentvecError('backend-failed', 'The thread of the tokenizer ended. Load the model again.')),
    );
    worker.unref();
  }

  /**
   * @throws SentvecError `invalid-model`, `missing-dependency` when the library cannot make a tokenizer of the
   * definition
   */
  static async start(
    library: TokenizerLibrary,
    definition: TokenizerDefinition,
  ): Promise<{ readonly thread: TokenizerThread; readonly name: string }> {
    const workerData: TokenizerThreadData = { library, definition: definitionToJson(definition) };
    const worker = new Worker(new URL('./tokenizer-worker.js', import.meta.url), {
      workerData,
      // What it makes dies young: V8 would let it grow to 48 MB before it looks.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
      name: 'sentvec-tokenizer',
    });
    const first = await new Promise<TokenizerResponse>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', (error) => reject(describeEnd(error)));
      worker.once('exit', () => reject(describeEnd('it ended before it was ready')));
    });
    for (const event of ['error', 'exit']) worker.removeAllListeners(event);
    if (first.kind === 'ready') return { thread: new TokenizerThread(worker), name: first.name };
    await worker.terminate();
    throw first.kind === 'failure'
      ? SentvecError.from(first.error)
      : new SentvecError('backend-failed', 'The thread of the tokenizer did not get ready.');
  }

  async encode(texts: readonly string[], options: TokenizeOptions): Promise<TokenizedText[]> {
    if (texts.length <= requestTexts) return this.#request(texts, options);
    const requests: Promise<TokenizedText[]>[] = [];
    for (let first = 0; first < texts.length; first += requestTexts) {
      requests.push(this.#request(texts.slice(first, first + requestTexts), options));
    }
    return (await Promise.all(requests)).flat();
  }

  async #request(texts: readonly string[], options: TokenizeOptions): Promise<TokenizedText[]> {
    if (this.#ended) throw this.#ended;
    const id = (this.#nextId += 1);
    const { maxLength, addSpecialTokens = true, signal } = options;
    const abort = (): void => this.#send({ kind: 'abort', id });
    const result = new Promise<TokenizedText[]>((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    this.#worker.ref();
    this.#send({ kind: 'encode', id, texts, maxLength, addSpecialTokens });
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await result;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#pending.delete(id);
      if (this.#pending.size === 0) this.#worker.unref();
    }
  }

  async terminate(): Promise<void> {
    this.#end(new SentvecError('disposed', 'This tokenizer was disposed and can no longer be used.'));
    await this.#worker.terminate();
  }

  #send(request: TokenizerRequest): void {
    this.#worker.postMessage(request);
  }

  #receive(response: TokenizerResponse): void {
    if (response.kind === 'ready' || response.id === undefined) return;
    const pending = this.#pending.get(response.id);
    if (response.kind === 'result') pending?.resolve(unpackTexts(response.packed));
    else pending?.reject(SentvecError.from(response.error));
  }

  #end(error: SentvecError): void {
    this.#ended ??= error;
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
  }
}

function describeEnd(error: unknown): SentvecError {
  const message = error instanceof Error ? error.message : String(error);
  return new SentvecError('backend-failed', `The thread of the tokenizer failed: ${message}`, {}, { cause: error });
}
