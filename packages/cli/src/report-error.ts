/** Prints errors for the command line, with flags instead of the options of libraries. */
import { inspect } from 'node:util';
import { escapeControlCharacters } from '@sentvec/platform';
import type { SentvecError } from '@sentvec/core';
import { exitCode } from './exit-codes.ts';
import { UsageError } from './usage-error.ts';

/** How to show an error. */
export interface ReportOptions {
  /** The failed command, for a hint to its help. */
  readonly command: string | undefined;
  readonly json: boolean;
  readonly debug: boolean;
}

/** Prints an error on standard error, as text or with `json` as JSON. @returns the exit code */
export async function reportError(error: unknown, { command, json, debug }: ReportOptions): Promise<number> {
  // Imported only here, because most commands do not fail.
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
  if (!debug && !json) process.stderr.write('This is an unexpected error. Add --debug to see its stack trace.\n');
  return exitCode.failure;
}

function codeOf(error: SentvecError): number {
  if (error.code === 'incomplete') return exitCode.incomplete;
  if (error.code === 'aborted') return exitCode.interrupted;
  if (error.code === 'invalid-argument') return exitCode.usage;
  return exitCode.failure;
}

function plainError(error: unknown, ours: SentvecError | undefined, message: string): object {
  if (ours) return { ...ours.toJSON(), message };
  return { code: error instanceof UsageError ? 'usage' : 'unexpected', message };
}

/**
 * The flag for each option. Error messages of libraries contain options in backticks (`resume`); users of the CLI need
 * flags.
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
  maxFailed: '--max-failed',
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
  'tls.caFile': '--redis-ca',
  'tls.certFile': '--redis-cert',
  'tls.keyFile': '--redis-key',
  'tls.serverName': '--redis-server-name',
  textField: '--text',
  timeZone: '--time-zone',
  update: '--update',
  truncateDim: '--truncate-dim',
  verify: '--verify',
};

/** Replaces options in a message by flags. */
export function withFlags(message: string): string {
  return message.replaceAll(/`([^`]+)`/g, (quoted, option: string) => flags[option] ?? quoted);
}
