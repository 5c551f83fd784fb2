// A reranker whose ONNX file gives the scores itself, as Optimum exports cross-encoders.
import { OnnxRecorder, constantWeights, readEncoder } from '@sentvec/architectures';
import { loadReranker, memoryModel, readWeights, type TextPair } from '@sentvec/core';
import { goldenExpectation, goldenModel, type GoldenPairs } from '@sentvec/testing';
import { expect, it } from 'vitest';
import { onnx } from '../src/index.ts';

/** The golden reranker with an ONNX file that has the output `logits`, and no other weights. */
async function withScoresInFile() {
  const files = goldenModel('rerank-bert-3-labels');
  const weights = await readWeights(files);
  const definition = await readEncoder(files);
  const recorder = new OnnxRecorder();
  const { operations } = recorder;
  const input = (name: string) => recorder.input(name, 'index', ['batch', 'length']);
  const [ids, mask, types] = [input('input_ids'), input('attention_mask'), input('token_type_ids')];
  const lookUp = constantWeights(operations, definition);
  const tokens = definition.network.encode(operations, lookUp, { ids, mask, types });
  const [batch, , width] = operations.shape(tokens);
  const tensor = (name: string) => {
    const { data, shape } = weights.tensor(name);
    return operations.constant(data, shape);
  };
  const linear = (x: typeof tokens, name: string) =>
    operations.linear(x, tensor(`${name}.weight`), tensor(`${name}.bias`));
  const first = operations.reshape(operations.slice(tokens, 1, 0, 1), [batch!, width!]);
  recorder.output('logits', linear(operations.tanh(linear(first, 'bert.pooler.dense')), 'classifier'));
  const names = ['config.json', 'config_sentence_transformers.json', 'modules.json', 'sentence_bert_config.json'];
  const contents: Record<string, Uint8Array> = { 'onnx/model.onnx': recorder.encode() };
  for (const name of [...names, 'tokenizer.json', 'tokenizer_config.json']) contents[name] = await files.read(name);
  return memoryModel('scores in a file', contents);
}

it('gives the scores of its ONNX file, with the types of tokens, and says that nothing checks them', async () => {
  const { cases, measured } = goldenExpectation('rerank-bert-3-labels') as unknown as GoldenPairs;
  const reranker = await loadReranker(await withScoresInFile(), { backend: onnx() });
  expect(reranker.head.pooling.graphOutput).toBe('logits');
  expect(reranker.selfCheck).toMatchObject({
    state: 'skipped',
    reason: expect.stringContaining('outputs only scores'),
  });
  const { scores } = await reranker.score(cases.map(({ query, document }): TextPair => [query, document]));
  const expected = cases.flatMap(({ logits }) => logits);
  for (const [index, value] of scores.data.entries())
    expect(Math.abs(value - expected[index]!)).toBeLessThan(Math.max(5e-5, measured.tolerance));
  await reranker.dispose();
});
