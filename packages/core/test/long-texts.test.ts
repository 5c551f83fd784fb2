import {
  createEmbedder,
  javaScriptTokenizer,
  memoryModel,
  readTokenizerDefinition,
  type Tokenizer,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';
import { afterAll, describe, expect, test } from 'vitest';
import { fakeEncoder, fakeParts } from './fake-parts.ts';

/** Long enough to detect failures and quadratic time. */
const length = 2 ** 17;
const texts: Record<string, string> = {
  'one letter': 'a'.repeat(length),
  words: 'hello, world '.repeat(Math.floor(length / 13)),
  spaces: ' '.repeat(length),
  emoji: '😀'.repeat(length / 2),
  ideographs: '中文'.repeat(length / 2),
  accents: `e${'\u0301'.repeat(length)}`,
};

/** One model of each type: WordPiece and BPE from the golden models, and a small Unigram. */
const models = {
  WordPiece: goldenModel('tiny-bert'),
  BPE: goldenModel('tiny-roberta'),
  Unigram: memoryModel('letters', {
    'tokenizer.json': JSON.stringify({
      added_tokens: [],
      normalizer: { type: 'Prepend', prepend: '▁' },
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      model: {
        type: 'Unigram',
        unk_id: 0,
        vocab: [
          ['<unk>', 0],
          ['▁', -2],
          ['a', -2],
          ['aa', -3],
          ['h', -3],
          ['ello', -4],
          [', ', -3],
          ['aaaa', -5],
        ],
      },
    }),
  }),
};

describe.each(Object.entries(models))('%s: long texts of all kinds', (name, model) => {
  const opened: Promise<Tokenizer>[] = [];
  const open = (library: 'javascript' | 'native'): Promise<Tokenizer> => {
    const tokenizer = readTokenizerDefinition(model).then(nodeTokenizer(library));
    opened.push(tokenizer);
    return tokenizer;
  };
  afterAll(async () => {
    for (const tokenizer of opened) await (await tokenizer).dispose();
  });

  test('a million characters are read to their end', async () => {
    const [text] = await (await open('javascript')).encode(['a'.repeat(1e6)], { maxLength: 32 });
    expect(text!.ids.length).toBeLessThanOrEqual(32);
    expect(text!.length).toBe({ WordPiece: 3, BPE: 1_000_002, Unigram: 250_001 }[name]);
  });

  test('both tokenizers give the same truncated ids and the same full length', async () => {
    const tokenizers = await Promise.all([open('javascript'), open('native')]);
    for (const [kind, text] of Object.entries(texts)) {
      const [ours, theirs] = await Promise.all(
        tokenizers.map(async (tokenizer) => (await tokenizer.encode([text], { maxLength: 32 }))[0]!),
      );
      expect([kind, [...ours!.ids], ours!.length]).toEqual([kind, [...theirs!.ids], theirs!.length]);
      expect(ours!.ids.length).toBeLessThanOrEqual(32);
      expect(ours!.truncated).toBe(ours!.length > ours!.ids.length);
    }
  });
});

test('a long text does not block the event loop, and the tokenizer works after an abort', async () => {
  const tokenizer = await nodeTokenizer('javascript')(await readTokenizerDefinition(models.BPE));
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  await tokenizer.encode([texts['words']!], { maxLength: 32 });
  clearInterval(timer);
  expect(turns).toBeGreaterThan(10);
  const controller = new AbortController();
  const aborted = tokenizer.encode(['a', texts['words']!, texts['words']!, texts['words']!], {
    maxLength: 32,
    signal: controller.signal,
  });
  controller.abort();
  await expect(aborted).rejects.toMatchObject({ code: 'aborted' });
  expect((await tokenizer.encode(['hello'], { maxLength: 32 }))[0]!.ids.length).toBeGreaterThan(2);
  await tokenizer.dispose();
  await expect(tokenizer.encode(['hello'], { maxLength: 32 })).rejects.toMatchObject({ code: 'disposed' });
});

test('a text that exceeds the limit is refused with its row', async () => {
  const embedder = createEmbedder(fakeParts({ encoder: fakeEncoder() }));
  await expect(embedder.embed(['a', 'a'.repeat(2 ** 22 + 1)])).rejects.toMatchObject({
    code: 'invalid-text',
    details: { row: 1 },
    message: /4194304/u,
  });
});

test('lone surrogates become U+FFFD before either tokenizer sees them', async () => {
  const definition = await readTokenizerDefinition(models.BPE);
  for (const load of [javaScriptTokenizer, nodeTokenizer('javascript'), nodeTokenizer('native')]) {
    const tokenizer = await load(definition);
    const [lone, replaced] = await tokenizer.encode(['a\ud83d b\ude00', 'a\ufffd b\ufffd'], { maxLength: 32 });
    expect(lone).toEqual(replaced);
    await tokenizer.dispose();
  }
});
