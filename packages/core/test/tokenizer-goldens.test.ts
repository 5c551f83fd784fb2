import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { javaScriptTokenizer, readTokenizerDefinition } from '@sentvec/core';
import { directoryModel, nodeTokenizer } from '@sentvec/core/node';
import { goldenArchitectureNames, goldenExpectation, goldenModel, goldenModelNames } from '@sentvec/testing';
import { describe, expect, test } from 'vitest';

const loaders = {
  'the JavaScript tokenizer': javaScriptTokenizer,
  'the JavaScript tokenizer in a worker thread': nodeTokenizer('javascript'),
  'the native tokenizer': nodeTokenizer('native'),
};
const dataFolder = fileURLToPath(new URL('../../../../shared/data/tokenizers/', import.meta.url));
const dataAbsent = existsSync(dataFolder) ? false : 'the tokenizer data is not part of the repository';

test('the tokenizer of Node gives the same ids on the calling thread and in its worker thread, and fails after dispose()', async () => {
  const tokenizer = await nodeTokenizer()(await readTokenizerDefinition(goldenModel('tiny-roberta')));
  const { cases } = goldenExpectation('tiny-roberta');
  const texts = cases.map(({ text }) => text);
  const filler = Array.from({ length: 600 }, () => 'words that make the call a long one');
  const many = await tokenizer.encode([...texts, ...filler], { maxLength: Infinity });
  for (const [row, text] of texts.entries())
    expect(await tokenizer.encode([text], { maxLength: Infinity })).toEqual([many[row]]);
  await tokenizer.dispose();
  for (const given of [['short'], filler])
    await expect(tokenizer.encode(given, { maxLength: 8 })).rejects.toMatchObject({ code: 'disposed' });
});

describe.each(Object.entries(loaders))('%s', (_, load) => {
  test.each([...goldenModelNames, ...goldenArchitectureNames])('gives the ids of PyTorch for %s', async (name) => {
    const expectation = goldenExpectation(name);
    const tokenizer = await load(await readTokenizerDefinition(goldenModel(name)));
    const options = { maxLength: expectation.max_seq_length ?? Infinity };
    const cases = await tokenizer.encode(
      expectation.cases.map(({ text }) => text),
      options,
    );
    for (const [index, { ids, truncated }] of expectation.cases.entries()) {
      expect([...cases[index]!.ids]).toEqual(ids);
      expect(cases[index]!.truncated).toBe(truncated);
    }
    const prompted = await tokenizer.encode(
      expectation.prompted.map(({ prompt, text }) => prompt + text),
      options,
    );
    for (const [index, { ids }] of expectation.prompted.entries()) expect([...prompted[index]!.ids]).toEqual(ids);
  });

  test.skipIf(dataAbsent)(
    `gives the ids of the Rust tokenizers for published tokenizers${dataAbsent ? ` (${dataAbsent})` : ''}`,
    async () => {
      for (const name of ['bert-base-uncased', 'roberta-base', 't5-small', 'use-lite']) {
        const goldens = JSON.parse(readFileSync(`${dataFolder}${name}/golden.json`, 'utf8')) as {
          text: string;
          ids: number[];
        }[];
        const tokenizer = await load(await readTokenizerDefinition(await directoryModel(dataFolder + name)));
        const tokenized = await tokenizer.encode(
          goldens.map(({ text }) => text),
          { maxLength: Infinity },
        );
        for (const [index, { text, ids }] of goldens.entries())
          expect([text, [...tokenized[index]!.ids]]).toEqual([text, ids]);
      }
    },
  );
});
