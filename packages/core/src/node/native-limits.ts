/**
 * Detects models and texts with which the native tokenizer would crash the process, hang, or give nondeterministic
 * results. They are tokenized by the JavaScript tokenizer instead, which has none of these faults.
 */
import { Component } from '../tokenizer/component.ts';
import { maxGrowth, normalizedText } from '../tokenizer/javascript-tokenizer.ts';
import { readMerges } from '../tokenizer/models/byte-pair-encoding.ts';
import { modelFields } from '../tokenizer/models/create-model.ts';
import { lengthOf, waysOf } from '../tokenizer/pattern/pattern-tree.ts';
import { PrecompiledCharsmap } from '../tokenizer/precompiled-charsmap.ts';
import { readSplitting } from '../tokenizer/splitting.ts';
import type { TokenizerJson } from '../tokenizer/tokenizer-json.ts';

/** The longest text for the native tokenizer, in UTF-16 code units: its time may grow with the square of the length. */
export const maxNativeTextLength: number = 2 ** 13;

/**
 * The most ways to match a pattern against a text. Oniguruma gives up after backtracking 10,000,000 times, which ends
 * the process, and each way takes a few backtracks.
 */
const maxBacktrackingPaths = 2 ** 17;

/**
 * The longest words of WordPiece, in characters: its time grows with the square of the length, since it looks up all
 * parts of a word. Published models allow 100.
 */
const maxWordLength = 1000;

/**
 * The reason why the native library must not run a tokenizer; `undefined` when it can.
 * @throws SentvecError `invalid-model`, `unsupported-model` when no tokenizer of sentvec can run it
 */
export async function reasonAgainstNative(json: TokenizerJson): Promise<string | undefined> {
  const parts = [
    ...(json.normalizer ? flatten(new Component(json.normalizer, 'normalizer'), 'normalizers') : []),
    ...(json.pre_tokenizer ? flatten(new Component(json.pre_tokenizer, 'pre_tokenizer'), 'pretokenizers') : []),
  ];
  for (const part of parts) {
    const reason = await reasonAgainstPart(part);
    if (reason !== undefined) return `${part.path} ${reason}`;
  }
  const factors = await Promise.all(parts.map(growthBy));
  const growth = factors.reduce((product, factor) => product * factor, maxGrowthOnce(parts));
  if (growth > maxGrowth) return `its parts may make a text more than ${maxGrowth} times longer`;
  return reasonAgainstModel(json) ?? (await reasonAgainstAddedTokens(json));
}

function flatten(part: Component, steps: string): Component[] {
  return part.type === 'Sequence' ? part.list(steps).flatMap((step) => flatten(step, steps)) : [part];
}

async function reasonAgainstPart(part: Component): Promise<string | undefined> {
  if (part.type === 'Prepend' && part.string('prepend') === '') return 'prepends the empty text';
  if (part.type !== 'Replace' && part.type !== 'Split') return undefined;
  const pattern = await part.pattern('pattern');
  if (part.type === 'Replace' && (pattern === '' || (typeof pattern === 'object' && lengthOf(pattern.tree).min === 0)))
    return 'has a pattern that matches the empty text';
  if (typeof pattern === 'object' && waysOf(pattern.tree, maxNativeTextLength) > maxBacktrackingPaths)
    return 'has a pattern that can match in too many ways';
  return undefined;
}

/** The largest factor by which a part lengthens a text each time it is applied. */
async function growthBy(part: Component): Promise<number> {
  switch (part.type) {
    case 'ByteLevel':
      return 3 * (part.boolean('add_prefix_space', false) ? 2 : 1);
    case 'Metaspace':
      return 2 * part.character('replacement').length;
    case 'Precompiled':
      return Math.max(1, new PrecompiledCharsmap(part.string('precompiled_charsmap')).longest);
    case 'Prepend':
      return 1 + part.string('prepend').length;
    case 'Replace': {
      const pattern = await part.pattern('pattern');
      const min = typeof pattern === 'string' ? pattern.length : lengthOf(pattern.tree).min;
      return Math.max(1, part.string('content').length / min);
    }
    default:
      return 1;
  }
}

/**
 * The largest factor by which all parts together lengthen a text that lengthen it only the first time they are applied,
 * in UTF-16 code units: 18 for NFKC (U+FDFA), 4 for NFD (U+1F82), 2 for lowercasing (U+0130), 3 for spaces around a
 * Chinese character; `BertNormalizer` does the last two.
 */
function maxGrowthOnce(parts: readonly Component[]): number {
  const types = new Set(parts.map(({ type }) => type));
  const decomposed = types.has('NFKC') || types.has('NFKD') ? 18 : types.has('NFC') || types.has('NFD') ? 4 : 1;
  return decomposed * (types.has('Lowercase') ? 2 : 1) * (types.has('BertNormalizer') ? 6 : 1);
}

function reasonAgainstModel({ model }: TokenizerJson): string | undefined {
  const fields = modelFields(model);
  // Called only for its checks: it throws for invalid merges.
  if (fields.type === 'BPE') readMerges(fields, model.vocab as Readonly<Record<string, number>>, model['merges']);
  if (fields.type === 'WordPiece' && fields.wholeNumber('max_input_chars_per_word', 0) > maxWordLength)
    return `its words may have more than ${maxWordLength} characters`;
  return undefined;
}

async function reasonAgainstAddedTokens({
  added_tokens: tokens,
  normalizer,
}: TokenizerJson): Promise<string | undefined> {
  const splitting = await readSplitting(normalizer, null);
  const normalized = tokens
    .filter((token) => token.normalized)
    .map(({ content }) => normalizedText(splitting, content));
  if (normalized.includes('')) return 'an added token is empty after normalization';
  if (new Set(normalized).size < normalized.length) return 'two added tokens are normalized to the same text';
  const isBlank = (text: string): boolean => !/\P{White_Space}/u.test(text);
  const blank = tokens.some((token) => token.lstrip && (isBlank(token.content) || normalized.some(isBlank)));
  return blank && tokens.some((token) => token.rstrip)
    ? 'an added token consists of white space, which other added tokens may strip'
    : undefined;
}
