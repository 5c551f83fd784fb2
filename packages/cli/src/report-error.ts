/** Reports errors in terms of the command line: flags instead of options. */
import { inspect } from 'node:util';
import { escapeControlCharacters } from '@sentvec/platform';
import type { SentvecError } from '@sentvec/core';
import { exitCode } from './exit-codes.ts';
import { UsageError } from './usage-error.ts';

/** How to show an error. */
export interface ReportOptions {
  /** The command that failed, for a hint at its help. */
  readonly command: string | undefined;
  readonly json: boolean;
  readonly debug: boolean;
}

/** Reports an error on standard error, for a person, or with `json` for a program. @returns the exit code */
export async function reportError(error: unknown, { command, json, debug }: ReportOptions): Promise<number> {
  // Loaded only now: most commands end well, and some need no more than help.
  const { SentvecError } = await import('@sentvec/platform');
  const ours = SentvecError.is(error) ? error : undefined;
  const message = ours ? withFlags(ours.message) : error instanceof Error ? error.message : String(error);
  if (json) process.stderr.write(`${JSON.stringify({ error: plainError(error, ours, message) })}\n`);
  else process.stderr.write(`sentvec: ${escapeControlCharacters(message)}\n`);
  if (debug) process.stderr.write(`${inspect(error)}\n`);
  if (error instanceof UsageError) {
    if (!json) process.stderr.write(`See: sentvec ${command === undefined ? '' : `${command} `}--help\n`);
    return exitCode.usage;
  }
  if (ours) return codeOf(ours);
  if (!debug && !json) process.stderr.write('This error was not expected. Add --debug to see where it happened.\n');
  return exitCode.failure;
}

function codeOf(error: SentvecError): number {
  if (error.code === 'aborted') return exitCode.interrupted;
  if (error.code === 'invalid-argument') return exitCode.usage;
  return exitCode.failure;
}

function plainError(error: unknown, ours: SentvecError | undefined, message: string): object {
  if (ours) return { ...ours.toJSON(), message };
  return { code: error instanceof UsageError ? 'usage' : 'unexpected', message };
}

/**
 * The flags of options. Libraries name options in backticks (`resume`), because they do not know who calls them; here a
 * person types flags.
 */
const flags: Readonly<Record<string, string>> = {
  batchTokens: '--batch-tokens',
  chunkRows: '--shard-rows',
  columns: '--columns',
  finish: '--finish',
  format: '--format',
  as: '--as',
  idField: '--id',
  inputFormat: '--input-format',
  maxActiveDims: '--max-active-dims',
  normalize: '--normalize',
  every: '--every',
  overwrite: '--overwrite',
  precision: '--precision',
  prompt: '--prompt',
  resume: '--resume',
  route: '--route',
  retryRejected: '--retry-rejected',
  'selfCheck: false': '--no-self-check',
  split: '--split',
  strict: '--strict',
  task: '--task',
  textField: '--text',
  timeZone: '--time-zone',
  update: '--update',
  truncateDim: '--truncate-dim',
  verify: '--verify',
};

/** A message of a library, with flags in place of options. */
export function withFlags(message: string): string {
  return message.replaceAll(/`([^`]+)`/g, (quoted, option: string) => flags[option] ?? quoted);
}
