/**
 * Fuzz tests with random tokenizers, random patterns and damaged files: the JavaScript tokenizer and the native one
 * give the same ids or the same error. The environment variable SENTVEC_FUZZ_TOKENIZERS sets the number of cases of
 * each test (default: 50), SENTVEC_FUZZ_SEED the first seed (default: 1).
 */
import {
  javaScriptTokenizer,
  memoryModel,
  readTokenizerDefinition,
  SentvecError,
  type Tokenizer,
  type TokenizerDefinition,
  type TokenizerLoader,
} from '@sentvec/core';
import { goldenModel, goldenModelNames } from '@sentvec/testing';
import { expect, test } from 'vitest';
import { nativeTokenizer } from '../src/node/native-tokenizer.ts';
import { charsmap } from './charsmap.ts';
import { mutate } from './mutations.ts';
import { atoms, randomPattern, randomPatternText, quantifiers, splittingTokenizer } from './random-patterns.ts';
import { Random, randomText, randomTokenizer } from './random-tokenizers.ts';

const count = Number(process.env['SENTVEC_FUZZ_TOKENIZERS'] ?? 50);
const firstSeed = Number(process.env['SENTVEC_FUZZ_SEED'] ?? 1);
const seeds = Array.from({ length: count }, (_, index) => firstSeed + index);
const timeout = 60_000 + 1000 * count;

/** For each text its ids or the code of a SentvecError; one code when the tokenizer could not be loaded. */
type Outcome = readonly string[];

/**
 * The outcome for tokenizers that only the JavaScript tokenizer may run, because they could hang or crash the native
 * one.
 */
const notForNative = 'not for the native tokenizer';

function refusal(error: unknown): string {
  if (!SentvecError.is(error)) throw error;
  return error.message.includes('cannot run this model safely') ? notForNative : error.code;
}

async function outcome(
  definition: TokenizerDefinition,
  texts: readonly string[],
  load: TokenizerLoader,
): Promise<Outcome> {
  let tokenizer: Tokenizer;
  try {
    tokenizer = await load(definition);
  } catch (error) {
    return [refusal(error)];
  }
  const idsOf = async (some: readonly string[]): Promise<string[]> => {
    const tokenized = await tokenizer.encode(some, { maxLength: Infinity, addSpecialTokens: false });
    return tokenized.map(({ ids }) => ids.join(' '));
  };
  try {
    return await idsOf(texts);
  } catch {
    const results: string[] = [];
    for (const text of texts) results.push(...(await idsOf([text]).catch((error: unknown) => [refusal(error)])));
    return results;
  } finally {
    await tokenizer.dispose();
  }
}

/** The outcomes of both tokenizers if they differ; otherwise `undefined`. */
async function disagreement(json: string, texts: readonly string[]): Promise<unknown> {
  let definition: TokenizerDefinition;
  try {
    definition = await readTokenizerDefinition(memoryModel('random', { 'tokenizer.json': json }));
  } catch (error) {
    refusal(error);
    return undefined;
  }
  const ours = await outcome(definition, texts, javaScriptTokenizer);
  const theirs = await outcome(definition, texts, nativeTokenizer);
  return theirs[0] === notForNative || ours.join('\n') === theirs.join('\n') ? undefined : { ours, theirs };
}

test('random tokenizers give the same ids in both tokenizers', { timeout }, async () => {
  for (const seed of seeds) {
    const random = new Random(seed);
    const json = JSON.stringify(randomTokenizer(random));
    const texts = random.list(25, 25, () => randomText(random));
    expect({ seed, disagreement: await disagreement(json, texts) }).toEqual({ seed, disagreement: undefined });
  }
});

test('damaged files give the same ids or the same error in both tokenizers', { timeout }, async () => {
  const texts = [
    'The cat sat on the mat.',
    'a',
    'héllo wörld 123 — 東京 😀',
    '  spaces   here  ',
    `${'a'.repeat(40)}!`,
  ];
  const stored = await Promise.all(goldenModelNames.map((name) => goldenModel(name).read('tokenizer.json')));
  for (const seed of seeds) {
    const random = new Random(seed);
    const file = random.chance() ? random.pick(stored) : undefined;
    const json = file === undefined ? JSON.stringify(randomTokenizer(random)) : new TextDecoder().decode(file);
    const damaged = mutate(random, json);
    expect({ seed, disagreement: await disagreement(damaged, texts) }).toEqual({ seed, disagreement: undefined });
  }
});

test(
  'damaged SentencePiece charsmaps give the same ids or the same error in both tokenizers',
  { timeout },
  async () => {
    const vocab = Object.fromEntries(Array.from('abcdefgABxfi0123 .,▁é中ſ\u0301').map((piece, id) => [piece, id]));
    for (const seed of seeds) {
      const random = new Random(seed);
      const bytes = Uint8Array.from(atob(charsmap), (character) => character.charCodeAt(0));
      for (let flips = 1 + random.below(4); flips > 0; flips -= 1)
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      const damaged = btoa(
        String.fromCharCode(...bytes.subarray(0, random.chance(0.1) ? random.below(bytes.length) : undefined)),
      );
      const json = JSON.stringify({
        normalizer: { type: 'Precompiled', precompiled_charsmap: damaged },
        model: { type: 'BPE', unk_token: null, vocab, merges: [] },
      });
      const texts = random.list(10, 10, () => randomText(random));
      expect({ seed, disagreement: await disagreement(json, texts) }).toEqual({ seed, disagreement: undefined });
    }
  },
);

test('each syntax element of patterns gives the same ids in both tokenizers, or is refused', { timeout }, async () => {
  const texts = ["aab b1 12AB\n\r\néÉ中😀's_.e\u0301ſ", 'ab', 'abb aabbb', '', 'a\nb', 'a{,x}', 'a\u0080b\u0080'];
  const patterns = [
    ...atoms,
    ...quantifiers.flatMap((quantifier) => [`a${quantifier}b`, `(?:a|b${quantifier})`]),
    ...['^', '$', '\\b', '\\B', '\\A', '\\z', '\\Z'].flatMap((anchor) => [`${anchor}a`, `b${anchor}`]),
    '(a)',
    '(?:a)',
    '(?>a|ab)',
    '(?i:A)',
    '(?i)a|B',
    '(?m:a.b)',
    '(?m)a.b',
    '(?x: a b # c\n)',
    '(?#c)a',
    '(?i-i:A)',
    'a(?=b)',
    'a(?!b)',
    '(?<=a)b',
    '(?<!a)b',
    '(?<=(a))b',
    '(?<!(a))b',
    '(?<=a|bb)1',
    '(?<!a|bb)1',
    '[[:^alpha:]1]',
    '[[:space:]]',
    '[[:digit:]_]',
    '\\p{Han}',
    '\\p{Latin}',
    '\\p{Uppercase}',
    '\\x{80}',
    '(?:a\\x{80}|ab)+',
    '(?:a+b?)1',
    '(?i:[\\x{de}-\\x{df}])',
    '\\p{old_italic}',
    '\\p{Uppercase Letter}',
    '\\p{^L}',
    '\\x41',
    '\\x{1F600}',
    '\\u00e9',
    '\\x{110000}',
    '[\\x{61}-b]',
    'b{,1}a',
    'x{,2}b',
    'a{,x}',
    'a{2,1}',
    'ab{0}',
  ];
  const refused: string[] = [];
  for (const pattern of patterns) {
    const json = splittingTokenizer(pattern, 'Isolated');
    const files = memoryModel('pattern', { 'tokenizer.json': json });
    await readTokenizerDefinition(files).catch(() => void refused.push(pattern));
    expect({ pattern, disagreement: await disagreement(json, texts) }).toEqual({ pattern, disagreement: undefined });
  }
  expect(refused).toEqual(['(?<!(a))b', '(?i:[\\x{de}-\\x{df}])', '\\x{110000}', 'a{2,1}']);
});

test('random patterns give the same ids in both tokenizers', { timeout }, async () => {
  for (const seed of seeds) {
    const random = new Random(seed);
    const pattern = randomPattern(random, 2);
    const json = splittingTokenizer(pattern, random.pick(['Isolated', 'Removed']));
    const texts = random.list(6, 6, () => randomPatternText(random));
    expect({ seed, pattern, disagreement: await disagreement(json, texts) }).toEqual({
      seed,
      pattern,
      disagreement: undefined,
    });
  }
});
