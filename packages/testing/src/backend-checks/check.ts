// What a check of a backend is, what it works with, and how it fails.
import { SentvecError, type Backend, type Encoder, type Head, type ModelFiles } from '@sentvec/core';
import type { GoldenSource } from '../golden-expectation.ts';

/** One thing that a backend must do. */
export interface BackendCheck {
  readonly name: string;
  /** @throws when the backend does not */
  readonly run: () => Promise<void>;
}

/** How much a check tries; what it checks is the same. */
export interface Effort {
  /** The checks of pairs, terms, batching and concurrent calls take one of this many golden texts. */
  readonly textStep: number;
  /** Texts are tried with one token, two, and so on up to this many. */
  readonly lengths: number;
  readonly callsAtOnce: number;
  /** Models that are tried with a long text. */
  readonly longTexts: number;
  /** Loads of a model before its memory is measured, and between measurements. */
  readonly loadsBefore: number;
  readonly loadsBetween: number;
}

export const fullEffort: Effort = {
  textStep: 1,
  lengths: 9,
  callsAtOnce: 48,
  longTexts: 3,
  loadsBefore: 5,
  loadsBetween: 10,
};
/** For devices that take a tenth of a second for the smallest batch. */
export const smallEffort: Effort = {
  textStep: 5,
  lengths: 3,
  callsAtOnce: 6,
  longTexts: 1,
  loadsBefore: 1,
  loadsBetween: 2,
};

/** What checks work with. */
export interface BackendUnderTest {
  readonly backend: Backend;
  readonly goldens: GoldenSource;
  readonly tolerance: number;
  readonly invariance: number;
  readonly effort: Effort;
  readonly memoryInUse: (() => number | Promise<number>) | undefined;
  /** Loads the encoder of a model, lets `use` work with it, and disposes of it. */
  readonly withEncoder: <T>(files: ModelFiles, use: (encoder: Encoder, head: Head) => Promise<T>) => Promise<T>;
}

/** Fails a check. */
export function fail(message: string): never {
  throw new Error(message);
}

/** Waits for a failure with one of the codes. @throws when there is none, or another */
export async function expectError(
  what: string,
  work: Promise<unknown>,
  ...codes: readonly string[]
): Promise<SentvecError> {
  let error: unknown;
  try {
    await work;
  } catch (thrown) {
    error = thrown;
  }
  if (error === undefined) fail(`${what} succeeded, where an error ${codes.join(' or ')} was due.`);
  if (!SentvecError.is(error)) fail(`${what} failed with something other than a SentvecError: ${describe(error)}`);
  if (!codes.includes(error.code))
    fail(`${what} failed with ${error.code}, where ${codes.join(' or ')} was due: ${error.message}`);
  return error;
}

function describe(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : JSON.stringify(thrown);
}
