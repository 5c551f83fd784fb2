import { SentvecError } from '../errors.ts';
import type { TokenizedText, TokenizeOptions } from '../types.ts';
import type { TokenizerDefinition } from './definition.ts';

/**
 * What is done to a text before a tokenizer library sees it. Lone surrogates become U+FFFD: they have no UTF-8 form,
 * and the libraries would treat them differently.
 */
export function prepareText(text: string): string {
  return text.replaceAll(/\p{Surrogate}/gu, '\uFFFD');
}

/**
 * What is done to a text's ids after a tokenizer library gave them, without special tokens: cut to the length that the
 * special tokens leave, then put between them.
 * @param length number of ids before the cut, where `ids` is already shorter
 */
export function truncateAndAddSpecialTokens(
  ids: ArrayLike<number>,
  definition: TokenizerDefinition,
  options: TokenizeOptions,
  length: number = ids.length,
): TokenizedText {
  const special = (options.addSpecialTokens ?? true) ? definition.specialTokens : { prefix: [], suffix: [] };
  const around = special.prefix.length + special.suffix.length;
  const kept = Math.min(ids.length, options.maxLength - around);
  const first = definition.truncationSide === 'left' ? ids.length - kept : 0;
  const result = new Int32Array(kept + around);
  result.set(special.prefix);
  for (let index = 0; index < kept; index += 1) result[special.prefix.length + index] = ids[first + index]!;
  result.set(special.suffix, special.prefix.length + kept);
  return { ids: result, length: length + around, truncated: kept < length };
}

/** @throws SentvecError `invalid-argument` when `maxLength` leaves no room for a text */
export function checkTokenizeOptions(definition: TokenizerDefinition, options: TokenizeOptions): void {
  const { prefix, suffix } = definition.specialTokens;
  const least = (options.addSpecialTokens ?? true) ? prefix.length + suffix.length + 1 : 1;
  if (options.maxLength >= least && (Number.isInteger(options.maxLength) || options.maxLength === Infinity)) return;
  throw new SentvecError(
    'invalid-argument',
    `maxLength is ${options.maxLength}; it must be a whole number of at least ${least}, since the special tokens count too.`,
  );
}
