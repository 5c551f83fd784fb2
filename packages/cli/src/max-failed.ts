import type { MaxFailed } from '@sentvec/platform';

/** The flag that says how many items may fail. */
export const maxFailedArgument = {
  'max-failed': {
    type: 'string',
    valueHint: 'N|P%',
    description: 'Go on without chunks that fail, at most so many; the output is then not complete. Default: 0.',
  },
} as const;

/** The value of {@link maxFailedArgument}. The library checks it. */
export function readMaxFailed({
  'max-failed': value,
}: {
  readonly 'max-failed'?: string | undefined;
}): MaxFailed | undefined {
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : (value as MaxFailed | undefined);
}
