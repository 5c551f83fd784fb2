import { Worker } from 'node:worker_threads';
import { type ModelFiles, SentvecError } from '@sentvec/core';
import type { Reply, Request, Task, ThreadStart } from './messages.ts';

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/**
 * The main thread's end of a thread with TensorFlow.js in it. It keeps the process alive while there is something to do
 * in it, and only then, so that a program that forgets `dispose` still ends.
 */
export class TensorFlowThread {
  readonly description: string;
  readonly gpu: boolean;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #files = new Map<number, ModelFiles>();
  #lastTask = 0;
  #lastModel = 0;
  #ended: SentvecError | undefined;

  private constructor(worker: Worker, { description, gpu }: Extract<Reply, { kind: 'ready' }>) {
    this.#worker = worker;
    this.description = description;
    this.gpu = gpu;
    worker.on('message', (reply: Reply) => this.#receive(reply));
    worker.on('error', (error) => this.#end(`The thread of TensorFlow.js failed: ${messageOf(error)}`));
    worker.on('exit', () => this.#end('The thread of TensorFlow.js ended by itself. Load the model again.'));
    worker.unref();
  }

  /** @throws SentvecError `backend-unavailable` with the reason */
  static async start(workerData: ThreadStart): Promise<TensorFlowThread> {
    // The flags of the program (--input-type, loaders) are not for this file.
    const worker = new Worker(new URL('./tensor-flow-worker.js', import.meta.url), {
      workerData,
      execArgv: [],
      name: 'sentvec tfjs',
    });
    const first = await new Promise<Reply>((resolve) => {
      worker.once('message', resolve);
      worker.once('error', (error) => resolve({ kind: 'unavailable', reason: messageOf(error) }));
      worker.once('exit', () => resolve({ kind: 'unavailable', reason: 'its thread ended before it was ready' }));
    });
    for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event);
    if (first.kind === 'ready') return new TensorFlowThread(worker, first);
    const reason = first.kind === 'unavailable' ? first.reason : 'it did not get ready';
    throw new SentvecError('backend-unavailable', `TensorFlow.js cannot use ${workerData.device} here: ${reason}`, {
      device: workerData.device,
    });
  }

  /** Gives a model its number, under which its files can be asked for. */
  addModel(files: ModelFiles): number {
    this.#lastModel += 1;
    this.#files.set(this.#lastModel, files);
    return this.#lastModel;
  }

  /** The files of a model are not needed any more. */
  forgetFiles(model: number): void {
    this.#files.delete(model);
  }

  /** @throws SentvecError of the thread */
  perform(task: Task, transfer: ArrayBuffer[] = []): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#lastTask += 1;
    const id = this.#lastTask;
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#send({ kind: 'task', id, task }, transfer);
    }).finally(() => {
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) this.#worker.unref();
    });
  }

  /** Ends the thread after what it is doing. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const exit = new Promise((resolve) => {
      this.#worker.once('exit', resolve);
    });
    await this.perform({ kind: 'close' }).catch(() => undefined);
    this.#worker.ref();
    await exit;
  }

  #send(request: Request, transfer: ArrayBuffer[]): void {
    this.#worker.postMessage(request, transfer);
  }

  #receive(reply: Reply): void {
    if (reply.kind === 'done') this.#waiting.get(reply.id)?.resolve(reply.result);
    else if (reply.kind === 'failed') this.#waiting.get(reply.id)?.reject(SentvecError.from(reply.error));
    else if (reply.kind === 'wanted') void this.#give(reply.id, reply.model, reply.path);
  }

  async #give(id: number, model: number, path: string | undefined): Promise<void> {
    const files = this.#files.get(model);
    try {
      if (files === undefined) throw new SentvecError('aborted', 'The load was given up.');
      if (path === undefined) return this.#send({ kind: 'file', id, content: await files.list() }, []);
      // A copy: the bytes may be the caller's, and a view may be a small part of a large buffer.
      const content = new Uint8Array(await files.read(path));
      return this.#send({ kind: 'file', id, content }, [content.buffer]);
    } catch (error) {
      const plain = SentvecError.is(error) ? error.toJSON() : new SentvecError('io-failed', messageOf(error)).toJSON();
      return this.#send({ kind: 'no-file', id, error: plain }, []);
    }
  }

  #end(message: string): void {
    this.#ended ??= new SentvecError('backend-failed', message);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#ended);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
