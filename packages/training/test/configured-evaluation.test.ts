import { expect, test } from 'vitest';
import type { EmbedTexts } from '@sentvec/training';
import { parseTrainingConfig } from '@sentvec/training/node';
import { readEvaluation } from '../src/node/configured-evaluation.ts';
import { jsonLines } from './sample-pairs.ts';
import { TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();
const folder = { prompts: { query: 'query: ', passage: 'passage: ' }, similarityFunction: 'cosine' } as const;

/** Returns the texts that an evaluation embeds, with their prompts. */
async function embedded(evaluation: object): Promise<string[]> {
  const rows = [
    { q: 'who', d: 'he', yes: 1 },
    { q: 'who', d: 'it', yes: 0 },
  ];
  await place.write('rows.jsonl', jsonLines(rows));
  const config = parseTrainingConfig(
    place.config('judged', { evaluation: { file: 'rows.jsonl', columns: ['q', 'd'], ...evaluation } }),
    'config',
  );
  const seen: string[] = [];
  const embed: EmbedTexts = async (texts, { prompt = '' } = {}) => {
    seen.push(...texts.map((text) => prompt + text));
    return { data: Float32Array.from({ length: texts.length * 2 }, (_, i) => i + 1), rows: texts.length, cols: 2 };
  };
  const { evaluate } = await readEvaluation(config.evaluation!, { kind: 'embedder', folder }, place.path);
  await evaluate(embed, () => expect.unreachable());
  return seen;
}

test('an evaluation prepends its configured prompt to each text', async () => {
  expect(await embedded({ type: 'sts', label: 'yes', prompt: 'query' })).toEqual([
    'query: who',
    'query: who',
    'query: he',
    'query: it',
  ]);
  expect(await embedded({ type: 'sts', label: 'yes' })).toEqual(['who', 'who', 'he', 'it']);
});

test('queries and documents of a retrieval evaluation have separate prompts', async () => {
  const both = { queryPrompt: 'query', corpusPrompt: 'passage' };
  const expected = ['query: who', 'passage: he', 'passage: it'];
  expect(await embedded({ type: 'retrieval', ...both })).toEqual(expected);
  expect(await embedded({ type: 'reranking', label: 'yes', ...both })).toEqual(expected);
  expect(await embedded({ type: 'reranking', label: 'yes', prompt: 'passage', queryPrompt: 'query' })).toEqual(
    expected,
  );
  // The prompts of the model, unless the configuration has one prompt for all texts.
  expect(await embedded({ type: 'retrieval' })).toEqual(expected);
  expect(await embedded({ type: 'retrieval', prompt: 'query' })).toEqual(['query: who', 'query: he', 'query: it']);
});
