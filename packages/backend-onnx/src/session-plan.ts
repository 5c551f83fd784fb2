// How many sessions and threads a model gets on this machine.
import { availableParallelism, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import type { OnnxOptions } from './options.ts';

/** How many sessions share the machine, and how. */
export interface SessionPlan {
  readonly sessions: number;
  readonly threadsPerSession: number;
  /** Tokens of a batch that suit these sessions. */
  readonly batchTokens: number;
  /**
   * Threads of a further session, for batches that come one at a time. `undefined`: there is none, because one would
   * gain nothing, memory does not allow it, or the options decide about sessions.
   */
  readonly loneThreads?: number | undefined;
}

/**
 * Tokens of a batch for each thread: small enough that activations stay in the cache. See docs/adr on the session pool.
 */
const tokensForEachThread = 512;
const tokensOnGpu = 16_384;

/** The products of a short text do not keep more threads busy. */
const mostLoneThreads = 4;

/** Bytes of a session besides its weights: onnxruntime, the thread's JavaScript, activations of a batch. */
const besidesWeights = 64 * 2 ** 20;

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
  const fitting = Math.floor((options.memoryBudget ?? defaultBudget()) / (weightsSize + besidesWeights));
  const affordable = weightsSize < largeWeights ? fitting : Math.min(fitting, 1);
  const sessions =
    options.sessions ?? Math.max(1, Math.min(affordable, Math.floor(cores / (options.threadsPerSession ?? 1))));
  const threadsPerSession = options.threadsPerSession ?? Math.max(1, Math.floor(cores / sessions));
  const batchTokens = options.batchTokens ?? tokensForEachThread * threadsPerSession;
  const isOurs = options.sessions === undefined && options.threadsPerSession === undefined;
  const loneThreads =
    isOurs && cores > 1 && threadsPerSession === 1 && affordable > sessions
      ? Math.min(cores, mostLoneThreads)
      : undefined;
  return { sessions, threadsPerSession, batchTokens, loneThreads };
}

/** Half of the machine's memory, or of what the process is confined to. */
function defaultBudget(): number {
  const confined = process.constrainedMemory?.() ?? 0;
  return (confined > 0 ? Math.min(confined, totalmem()) : totalmem()) / 2;
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
