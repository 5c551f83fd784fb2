import type { InferenceSession } from 'onnxruntime-node';
import type { SessionSpecification } from './messages.ts';

/** The settings of a session. Those that are not onnxruntime's own were measured: see docs/adr on the session pool. */
export function sessionOptions({
  device,
  threads,
}: Pick<SessionSpecification, 'device' | 'threads'>): InferenceSession.SessionOptions {
  return {
    executionProviders: device === 'cpu' ? ['cpu'] : [device, 'cpu'],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    enableCpuMemArena: true,
    // A memory pattern would be stored for every combination of rows and length ever seen.
    enableMemPattern: false,
    // Errors are thrown; onnxruntime need not print them as well.
    logSeverityLevel: 4,
  };
}
