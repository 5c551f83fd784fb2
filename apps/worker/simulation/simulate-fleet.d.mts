import type { RecoverySettings } from '@sentvec/queue';

/** See `--help` of `main.mjs`. */
export interface SimulationOptions {
  readonly workers: number;
  readonly chunks: number;
  readonly concurrency?: number;
  readonly chunkSeconds?: number;
  readonly storeDelay?: number;
  readonly window?: number;
  readonly kill?: number;
  readonly killCoordinator?: boolean;
  readonly processes?: number;
  readonly seed?: number;
  readonly idleSeconds?: number;
  readonly recovery?: Partial<RecoverySettings>;
  readonly say?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** What was measured, as far as tests use it. */
export interface SimulationReport {
  readonly most: { readonly memory: number; readonly clients: number; readonly inFlight: number };
  readonly recovery: { readonly jobs: number; readonly coordinated: number | undefined } | undefined;
  /** How often each command of Redis was called. */
  readonly calls: Readonly<Record<string, number>>;
  readonly exact: { readonly eachChunkOnce: boolean; readonly left: number; readonly writtenAgain: number };
}

export function simulateFleet(options: SimulationOptions): Promise<SimulationReport>;
