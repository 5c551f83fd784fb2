import { memoryModel, SentvecError } from '@sentvec/core';
import { expect, it } from 'vitest';
import { configuredPositions, findExternalFiles } from '@sentvec/architectures';

const positionsOf = (config: unknown): Promise<number> =>
  configuredPositions(memoryModel('model', { 'config.json': JSON.stringify(config) }));

it('configuredPositions() subtracts the positions up to the padding id for RoBERTa and similar models', async () => {
  expect(await positionsOf({ model_type: 'bert', max_position_embeddings: 512, pad_token_id: 0 })).toBe(512);
  expect(await positionsOf({ model_type: 'xlm-roberta', max_position_embeddings: 514, pad_token_id: 1 })).toBe(512);
  expect(await positionsOf({ model_type: 'mpnet', max_position_embeddings: 514 })).toBe(512);
});

it('configuredPositions() is infinite without max_position_embeddings', async () => {
  expect(await positionsOf({ model_type: 't5' })).toBe(Infinity);
  expect(await configuredPositions(memoryModel('model', {}))).toBe(Infinity);
});

it('configuredPositions() refuses a configuration that is not JSON', async () => {
  const broken = configuredPositions(memoryModel('a-model', { 'config.json': '{"max_position' }));
  await expect(broken).rejects.toSatisfy(
    (error) => SentvecError.is(error, 'invalid-model') && error.message.includes('a-model/config.json'),
  );
});

it('findExternalFiles() does not read the ONNX file when all other files have well-known names', async () => {
  const names = ['LICENSE', 'spiece.model', 'sentencepiece.bpe.model', 'vocab.txt', 'model.onnx_data'];
  const files = memoryModel('model', Object.fromEntries(names.map((name) => [name, 'x'])));
  const listed = { ...files, list: async () => [...names, 'model.onnx'] };
  expect(await findExternalFiles(listed, 'model.onnx')).toEqual([
    { location: 'model.onnx_data', path: 'model.onnx_data' },
  ]);
});
