import { SentvecError } from '../errors.ts';
import type { TokenizedText, TokenizeOptions } from '../types.ts';
import type { TokenizerDefinition } from './definition.ts';

/**
 * Prepares a text for a tokenizer library: replaces lone surrogates by U+FFFD, since they have no UTF-8 encoding and
 * libraries would treat them differently.
 */
export function prepareText(text: string): string {
  return text.replaceAll(/\p{Surrogate}/gu, '\uFFFD');
}

/**
 * Truncates the ids of a text so that the special tokens fit, then adds the special tokens.
 * @param ids from a tokenizer library, without special tokens
 * @param length number of ids before truncation, if `ids` was already truncated
 */
export function truncateAndAddSpecialTokens(
  ids: ArrayLike<number>,
  definition: TokenizerDefinition,
  options: TokenizeOptions,
  length: number = ids.length,
): TokenizedText {
  const special = (options.addSpecialTokens ?? true) ? definition.specialTokens : { prefix: [], suffix: [] };
  const specialTokenCount = special.prefix.length + special.suffix.length;
  const kept = Math.min(ids.length, options.maxLength - specialTokenCount);
  const first = definition.truncationSide === 'left' ? ids.length - kept : 0;
  const result = new Int32Array(kept + specialTokenCount);
  result.set(special.prefix);
  for (let index = 0; index < kept; index += 1) result[special.prefix.length + index] = ids[first + index]!;
  result.set(special.suffix, special.prefix.length + kept);
  return { ids: result, length: length + specialTokenCount, truncated: kept < length };
}

/** @throws SentvecError `invalid-argument` when `maxLength` leaves no room for a text */
export function checkTokenizeOptions(definition: TokenizerDefinition, options: TokenizeOptions): void {
  const { prefix, suffix } = definition.specialTokens;
  const min = (options.addSpecialTokens ?? true) ? prefix.length + suffix.length + 1 : 1;
  if (options.maxLength >= min && (Number.isInteger(options.maxLength) || options.maxLength === Infinity)) return;
  throw new SentvecError(
    'invalid-argument',
    `maxLength is ${options.maxLength}; it must be a whole number of at min ${min}, since the special tokens count too.`,
  );
}
