// How many sessions and threads a model gets on this machine.
import { availableParallelism, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { SentvecError } from '@sentvec/platform';
import type { OnnxOptions } from './options.ts';

/** How many sessions share the machine, and how. */
export interface SessionPlan {
  readonly sessions: number;
  readonly threadsPerSession: number;
  /** Tokens of a batch that suit these sessions. */
  readonly batchTokens: number;
  /**
   * Threads of further sessions, for batches that come one at a time. `undefined`: there are none, because memory does
   * not allow it, or the options decide about sessions.
   */
  readonly loneThreads?: number | undefined;
  /** Whether there may be a session on the calling thread, for short batches that come one at a time. */
  readonly onCallingThread?: boolean | undefined;
}

/**
 * Tokens of a batch for each thread: small enough that activations stay in the cache. See docs/adr on the session pool.
 */
const tokensForEachThread = 512;
const tokensOnGpu = 16_384;

/** The products of a short text do not keep more threads busy. */
const maxLoneThreads = 4;

/** Bytes of a session besides its weights: onnxruntime, the thread's JavaScript, activations of a batch. */
const sessionOverhead = 64 * 2 ** 20;

/** Opening more weights than these would hold the calling thread up for too long. */
const maxOnCallingThread = 2 ** 27;

/** From here on weights are large: products with them keep several threads busy, and one session holds them. */
const largeWeights = 2 ** 29;

/**
 * Sessions of one thread each are fastest on a CPU, but each has its own copy of the weights: when the budget
 * does not allow one for each core, or the weights are large, there are fewer, with more threads.
 */
export function planSessions(weightsSize: number, device: string, options: OnnxOptions): SessionPlan {
  if (device !== 'cpu') {
    const { sessions = 1, threadsPerSession = 1, batchTokens = tokensOnGpu } = options;
    return { sessions, threadsPerSession, batchTokens };
  }
  const cores = physicalCores();
  const fitting = Math.floor((options.memoryBudget ?? defaultBudget()) / (weightsSize + sessionOverhead));
  const affordable = weightsSize < largeWeights ? fitting : Math.min(fitting, 1);
  const sessions =
    options.sessions ?? Math.max(1, Math.min(affordable, Math.floor(cores / (options.threadsPerSession ?? 1))));
  const threadsPerSession = options.threadsPerSession ?? Math.max(1, Math.floor(cores / sessions));
  const batchTokens = options.batchTokens ?? tokensForEachThread * threadsPerSession;
  const isAutomatic = options.sessions === undefined && options.threadsPerSession === undefined;
  if (!isAutomatic || threadsPerSession > 1 || affordable < sessions + 2)
    return { sessions, threadsPerSession, batchTokens };
  // A worker thread that ends inside onnxruntime takes the process down: see docs/adr on the session pool.
  const onCallingThread = isMainThread && weightsSize <= maxOnCallingThread;
  return { sessions, threadsPerSession, batchTokens, loneThreads: Math.min(cores, maxLoneThreads), onCallingThread };
}

/**
 * Refuses a model that cannot be held in memory, before it is opened: it would push everything else out, or end the
 * process.
 * @param file how a person would name the model
 * @param memory bytes that this process may have
 * @throws SentvecError `backend-unavailable`
 */
export function checkMemory(
  { size, file }: { readonly size: number; readonly file: string },
  device: string,
  { memoryBudget = 0 }: OnnxOptions,
  memory: number = availableMemory(),
): void {
  const needed = size + sessionOverhead;
  if (device !== 'cpu' || needed <= Math.max(memory, memoryBudget)) return;
  throw new SentvecError(
    'backend-unavailable',
    `${file} needs ${gigabytes(needed)} of memory, and this process can have ${gigabytes(memory)}. Choose a smaller form of the model (the option "variant"; "sentvec quantize" makes one) or a machine with more memory. To try it all the same, set "memoryBudget" to ${needed}.`,
    { file, needed, memory },
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Half of the memory. */
function defaultBudget(): number {
  return availableMemory() / 2;
}

/** The machine's memory, or what the process is confined to. */
function availableMemory(): number {
  const confined = process.constrainedMemory?.() ?? 0;
  return confined > 0 ? Math.min(confined, totalmem()) : totalmem();
}

/**
 * Two threads of one core do not multiply matrices faster than one. Where the system does not tell, every CPU
 * counts as a core.
 */
function physicalCores(): number {
  const cpus = availableParallelism();
  const siblings = new Set<string>();
  try {
    for (let cpu = 0; cpu < cpus; cpu += 1) {
      siblings.add(readFileSync(`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`, 'utf8').trim());
    }
  } catch {
    return cpus;
  }
  return Math.max(1, Math.min(cpus, siblings.size));
}
