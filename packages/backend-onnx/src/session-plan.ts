// Plans the numbers of sessions and threads for a model on this machine.
import { availableParallelism, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { SentvecError } from '@sentvec/platform';
import type { OnnxOptions } from './options.ts';

/** The numbers of sessions and threads, and the size of batches. */
export interface SessionPlan {
  readonly sessions: number;
  readonly threadsPerSession: number;
  /** The target size of a batch in tokens. */
  readonly batchTokens: number;
  /**
   * The number of threads of additional sessions for batches that arrive one at a time. `undefined`: there are no such
   * sessions, because the memory does not suffice or the options set the sessions.
   */
  readonly loneThreads?: number | undefined;
  /**
   * Whether a session may be opened on the calling thread, for short batches that arrive one at a time.
   * @default false
   */
  readonly onCallingThread?: boolean | undefined;
}

/**
 * The number of tokens of a batch for each thread, so that activations fit into the processor cache. See docs/adr on
 * the session pool.
 */
const tokensForEachThread = 512;
const tokensOnGpu = 16_384;

/** The maximum number of threads for a lone batch. The matrix products of a short text cannot use more. */
const maxLoneThreads = 4;

/**
 * The memory of a session in bytes in addition to its weights: onnxruntime, the JavaScript of the thread, and
 * activations.
 */
const sessionOverhead = 64 * 2 ** 20;

/**
 * The maximum size of weights in bytes for a session on the calling thread. Opening larger weights would block it for
 * too long.
 */
const maxOnCallingThread = 2 ** 27;

/**
 * From this size in bytes on, weights are large: matrix products can use several threads, and one session is enough.
 */
const largeWeights = 2 ** 29;

/**
 * Plans the sessions. On a CPU, sessions with one thread each are fastest, but each has its own copy of the weights. If
 * the memory budget does not allow one for each core, or the weights are large, there are fewer sessions with more
 * threads.
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
  // Not in a worker thread: if it ended during a call of onnxruntime, the process would crash. See docs/adr on the
  // session pool.
  const onCallingThread = isMainThread && weightsSize <= maxOnCallingThread;
  return { sessions, threadsPerSession, batchTokens, loneThreads: Math.min(cores, maxLoneThreads), onCallingThread };
}

/**
 * Refuses a model that does not fit into memory before it is opened, because the system would swap or kill the process.
 * @param file the name of the model in messages
 * @param memory the memory in bytes that is available to this process
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
    `${file} needs ${gigabytes(needed)} of memory, but only ${gigabytes(memory)} are available to this process. Use a smaller variant of the model (the option "variant"; "sentvec quantize" makes one) or a machine with more memory. To load it anyway, set "memoryBudget" to ${needed}.`,
    { file, needed, memory },
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** The default memory budget in bytes: half of the available memory. */
function defaultBudget(): number {
  return availableMemory() / 2;
}

/** The memory of the machine, or the limit of the process (cgroup) if it is lower, in bytes. */
function availableMemory(): number {
  const confined = process.constrainedMemory?.() ?? 0;
  return confined > 0 ? Math.min(confined, totalmem()) : totalmem();
}

/**
 * The number of physical cores, because two threads of one core do not multiply matrices faster than one. If the system
 * does not provide the topology, every logical CPU counts as a core.
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
