import type { Workload } from '../workload.ts';
import { mixedLengths } from './mixed-lengths.ts';
import { shortSentences } from './short-sentences.ts';

/** All workloads. */
export const workloads: readonly Workload[] = [shortSentences, mixedLengths];
