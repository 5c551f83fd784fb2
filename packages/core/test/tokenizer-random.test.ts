/**
 * Random tokenizers, patterns and damaged files: the tokenizer in JavaScript and the native one give the same ids, or
 * both refuse. A slice of some seconds. In the environment, SENTVEC_FUZZ_TOKENIZERS is the number of each kind, and
 * SENTVEC_FUZZ_SEED the first seed.
 */
import {
  javaScriptTokenizer,
  memoryModel,
  readTokenizerDefinition,
  SentvecError,
  type TokenizerDefinition,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { goldenModel, goldenModelNames } from '@sentvec/testing';
import { expect, test } from 'vitest';
import { mutate } from './mutations.ts';
import { Random, randomText, randomTokenizer } from './random-tokenizers.ts';

const count = Number(process.env['SENTVEC_FUZZ_TOKENIZERS'] ?? 50);
const firstSeed = Number(process.env['SENTVEC_FUZZ_SEED'] ?? 1);
const seeds = Array.from({ length: count }, (_, index) => firstSeed + index);
/** 80 ms for each would be slow. */
const timeout = 20_000 + 400 * count;

/** What becomes of texts: ids, or the code of an error, which is a SentvecError always. */
type Outcome = readonly string[];

async function outcome(json: string, texts: readonly string[], load: typeof javaScriptTokenizer): Promise<Outcome> {
  const refused = (error: unknown): string => {
    if (SentvecError.is(error)) return error.code;
    throw error;
  };
  let definition: TokenizerDefinition;
  try {
    definition = await readTokenizerDefinition(memoryModel('random', { 'tokenizer.json': json }));
  } catch (error) {
    return [refused(error)];
  }
  let tokenizer;
  try {
    tokenizer = await load(definition);
  } catch (error) {
    return [refused(error)];
  }
  const results: string[] = [];
  for (const text of texts) {
    try {
      const [tokenized] = await tokenizer.encode([text], { maxLength: Infinity, addSpecialTokens: false });
      results.push(tokenized!.ids.join(' '));
    } catch (error) {
      results.push(refused(error));
    }
  }
  await tokenizer.dispose();
  return results;
}

/** Outcomes of both tokenizers, as far as the native one may be used: some models it cannot be trusted with. */
async function disagreement(json: string, texts: readonly string[]): Promise<unknown> {
  const ours = await outcome(json, texts, javaScriptTokenizer);
  const theirs = await outcome(json, texts, nodeTokenizer('native'));
  if (theirs[0] === 'unsupported-model' && ours[0] !== 'invalid-model') return undefined;
  return ours.join('\n') === theirs.join('\n') ? undefined : { ours, theirs };
}

test('tokenizers of random parts', { timeout }, async () => {
  for (const seed of seeds) {
    const random = new Random(seed);
    const json = JSON.stringify(randomTokenizer(random));
    const texts = random.list(25, 25, () => randomText(random));
    expect({ seed, disagreement: await disagreement(json, texts) }).toEqual({ seed, disagreement: undefined });
  }
});

test('damaged files are refused, or read alike', { timeout }, async () => {
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

/** The end of each piece shows: its last character has an id of its own. */
function splitting(pattern: string, behavior: string): string {
  const characters = Array.from(new Set("abcAB12 \n\réÉ中😀's_.e\u0301ſ"));
  const vocab = Object.fromEntries(
    characters.flatMap((each) => [each, `${each}<end>`]).map((piece, id) => [piece, id]),
  );
  return JSON.stringify({
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'Split', pattern: { Regex: pattern }, behavior, invert: false },
    model: { type: 'BPE', unk_token: null, end_of_word_suffix: '<end>', vocab, merges: [] },
  });
}

const atoms = [
  'a',
  'b',
  '1',
  ' ',
  '.',
  '\\w',
  '\\d',
  '\\s',
  '\\S',
  '\\W',
  '\\p{L}',
  '\\p{Lu}',
  '\\P{L}',
  '[ab]',
  '[^ab]',
  '[a-c1]',
  '\\n',
  '[^\\s\\p{L}\\p{N}]',
  'é',
  '中',
  '😀',
  '[[:alpha:]]',
  '[\\p{L}&&[^a]]',
  '\\p{N}',
  '\\h',
  "'",
  '[\\r\\n]',
  '\\R',
  '\\p{M}',
  '\\x{e9}',
];
const repetitions = ['*', '+', '?', '*?', '+?', '??', '*+', '++', '{2}', '{1,2}', '{2,}', '{,2}', '{2}?', '{1,2}+'];

function randomPattern(random: Random, depth: number): string {
  const sequences = random.list(1, 3, () =>
    random
      .list(1, 3, () => {
        const kind = random.next();
        if (depth === 0 || kind < 0.5) return random.pick(atoms) + (random.chance(0.4) ? random.pick(repetitions) : '');
        if (kind < 0.6) return random.pick(['^', '$', '\\b', '\\B', '\\A', '\\z', '\\Z']);
        const open = random.pick(['(', '(?:', '(?>', '(?i:', '(?=', '(?!', '(?<=', '(?<!']);
        const repeats = !/[=!]$/u.test(open) && random.chance();
        return `${open}${randomPattern(random, depth - 1)})${repeats ? random.pick(repetitions) : ''}`;
      })
      .join(''),
  );
  return sequences.join('|');
}

test('random patterns', { timeout }, async () => {
  const characters = [
    'a',
    'b',
    'c',
    'A',
    'B',
    '1',
    '2',
    ' ',
    ' ',
    '\n',
    '\r',
    'é',
    'É',
    '中',
    '😀',
    "'",
    's',
    '_',
    '.',
    'e\u0301',
    'ſ',
  ];
  for (const seed of seeds) {
    const random = new Random(seed);
    const pattern = randomPattern(random, 2);
    const json = splitting(pattern, random.pick(['Isolated', 'Removed']));
    const texts = random.list(6, 6, () => random.list(1, 14, () => random.pick(characters)).join(''));
    expect({ seed, pattern, disagreement: await disagreement(json, texts) }).toEqual({
      seed,
      pattern,
      disagreement: undefined,
    });
  }
});
