// The thread in which TensorFlow.js computes: it blocks while it does, and nobody else.
import { parentPort, workerData } from 'node:worker_threads';
import { type ModelFiles, SentvecError } from '@sentvec/core';
import { LocalEncoder } from '../local-encoder.ts';
import { openRuntime, type Runtime } from '../runtime.ts';
import type { PlainError, Reply, Request, Task, ThreadStart } from './messages.ts';

const port = parentPort!;
const { device, wasmPaths } = workerData as ThreadStart;
const models = new Map<number, LocalEncoder>();
const wanted = new Map<
  number,
  { resolve(content: Uint8Array | readonly string[]): void; reject(error: Error): void }
>();
let lastWanted = 0;

function send(reply: Reply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(reply, transfer);
}

function plain(error: unknown): PlainError {
  if (SentvecError.is(error)) return error.toJSON();
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'backend-failed', message: `TensorFlow.js failed: ${message}`, details: {} };
}

/** The files of a model, which the main thread reads. */
function remoteFiles(name: string, model: number): ModelFiles {
  const ask = (path: string | undefined): Promise<Uint8Array | readonly string[]> =>
    new Promise((resolve, reject) => {
      lastWanted += 1;
      wanted.set(lastWanted, { resolve, reject });
      send({ kind: 'wanted', id: lastWanted, model, path });
    });
  return {
    name,
    list: async () => (await ask(undefined)) as readonly string[],
    read: async (path) => (await ask(path)) as Uint8Array,
  };
}

async function perform(runtime: Runtime, task: Task): Promise<unknown> {
  switch (task.kind) {
    case 'load': {
      const encoder = await LocalEncoder.open(runtime, remoteFiles(task.name, task.model));
      models.set(task.model, encoder);
      const { hiddenSize, maxPositions, vocabularySize } = encoder.network;
      return { hiddenSize, maxPositions, vocabularySize };
    }
    case 'encode':
      return models.get(task.model)!.encode(task.batch);
    case 'head':
      return models.get(task.model)!.addHead(task.number, task.head);
    case 'pooled':
      return models.get(task.model)!.encodePooled(task.batch, task.head, task.mask);
    case 'release':
      models.get(task.model)?.dispose();
      models.delete(task.model);
      return undefined;
    case 'close':
      port.close();
      return undefined;
    default:
      return task satisfies never;
  }
}

async function answer(runtime: Runtime, id: number, task: Task): Promise<void> {
  try {
    const result = await perform(runtime, task);
    send({ kind: 'done', id, result }, result instanceof Float32Array ? [result.buffer as ArrayBuffer] : []);
  } catch (error) {
    send({ kind: 'failed', id, error: plain(error) });
  }
}

function receive(runtime: Runtime, request: Request): void {
  if (request.kind === 'task') {
    void answer(runtime, request.id, request.task);
    return;
  }
  const waiting = wanted.get(request.id);
  wanted.delete(request.id);
  if (request.kind === 'file') waiting?.resolve(request.content);
  else waiting?.reject(SentvecError.from(request.error));
}

try {
  const runtime = await openRuntime(device, wasmPaths);
  port.on('message', (request: Request) => receive(runtime, request));
  send({ kind: 'ready', description: runtime.description, gpu: runtime.gpu });
} catch (error) {
  send({ kind: 'unavailable', reason: error instanceof Error ? error.message : String(error) });
  port.close();
}
