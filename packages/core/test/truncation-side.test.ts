import { expect, test } from 'vitest';
import { memoryModel, readTokenizerDefinition, type ModelFiles } from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';

/** The tokenizer files of tiny-bert with `settings` in tokenizer_config.json and `truncation` in tokenizer.json. */
async function withSettings(settings: object, truncation?: object): Promise<ModelFiles> {
  const model = goldenModel('tiny-bert');
  const text = async (path: string) => new TextDecoder().decode(await model.read(path));
  return memoryModel('tiny-bert', {
    'tokenizer.json': JSON.stringify({
      ...JSON.parse(await text('tokenizer.json')),
      ...(truncation && { truncation }),
    }),
    'tokenizer_config.json': JSON.stringify({ ...JSON.parse(await text('tokenizer_config.json')), ...settings }),
  });
}

test.each(['native', 'javascript'] as const)(
  'a truncated text keeps its special tokens, and its end with truncation_side left, otherwise its start: %s',
  async (library) => {
    const text = 'the capital of france is a city, and the man plays a guitar on the stage';
    const idsOf = async (files: ModelFiles, maxLength: number) => {
      const tokenizer = await nodeTokenizer(library)(await readTokenizerDefinition(files, {}));
      const [tokenized] = await tokenizer.encode([text], { maxLength });
      await tokenizer.dispose();
      return tokenized!;
    };
    const left = { strategy: 'LongestFirst', max_length: 512, stride: 0, direction: 'Left' };
    const whole = [...(await idsOf(await withSettings({}), Infinity)).ids];
    const [opening, closing] = [whole[0]!, whole.at(-1)!];
    const inner = whole.slice(1, -1);
    expect(inner.length).toBeGreaterThan(6);
    for (const [files, expected] of [
      [await withSettings({}), inner.slice(0, 4)],
      [await withSettings({ truncation_side: 'right' }), inner.slice(0, 4)],
      [await withSettings({ truncation_side: 'left' }), inner.slice(-4)],
      [await withSettings({}, left), inner.slice(-4)],
      [await withSettings({ truncation_side: 'right' }, left), inner.slice(0, 4)],
    ] as const) {
      const { ids, length, truncated } = await idsOf(files, 6);
      expect([...ids]).toEqual([opening, ...expected, closing]);
      expect([length, truncated]).toEqual([whole.length, true]);
    }
  },
);
