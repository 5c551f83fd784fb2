import { getEventListeners } from 'node:events';
import { plainBackend } from '@sentvec/architectures';
import { loadEmbedder, loadModel, readModelKind, type Embedder, type ModelFiles } from '@sentvec/core';
import { goldenModel } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { folder, modules } from './small-folders.ts';

const plain = (architecture: string): ModelFiles =>
  folder({ 'modules.json': undefined, 'config.json': { model_type: 'bert', architectures: [architecture] } });
const typed = (modelType: string): ModelFiles =>
  folder({ 'config_sentence_transformers.json': { model_type: modelType } });

const others = [
  ['reranker', 'CrossEncoder', typed('CrossEncoder')],
  ['reranker', 'BertForSequenceClassification', plain('BertForSequenceClassification')],
  ['reranker', 'LogitScore', folder({ 'modules.json': modules('Transformer', 'LogitScore') })],
  ['sparse', 'SparseEncoder', typed('SparseEncoder')],
  ['sparse', 'SpladePooling', folder({ 'modules.json': modules('Transformer', 'SpladePooling') })],
  [
    'sparse',
    'SparseStaticEmbedding',
    folder({
      'modules.json': modules('Router'),
      'router_config.json': { types: { query_0: 'a.SparseStaticEmbedding', document_0: 'a.Transformer' } },
    }),
  ],
  ['multi-vector', 'MultiVectorEncoder', typed('MultiVectorEncoder')],
  ['multi-vector', 'ColBERT', typed('ColBERT')],
  ['multi-vector', 'MultiVectorMask', folder({ 'modules.json': modules('Transformer', 'MultiVectorMask') })],
  ['multi-vector', 'HF_ColBERT', plain('HF_ColBERT')],
  ['multi-vector', 'query_prefix', folder({ 'config_sentence_transformers.json': { query_prefix: '[Q] ' } })],
] as const;

describe('readModelKind() and loadModel()', () => {
  it.each(others)(
    'recognize a %s model by %s, which loadEmbedder() names in its error',
    async (kind, evidence, model) => {
      expect(await readModelKind(model)).toBe(kind);
      await expect(loadEmbedder(model)).rejects.toMatchObject({
        code: 'unsupported-model',
        message: expect.stringContaining(evidence),
        details: { kind },
      });
    },
  );

  it('recognize an embedder by its modules, by its architecture and by its model_type', async () => {
    const embedders = [
      goldenModel('tiny-bert'),
      plain('BertModel'),
      plain('BertForMaskedLM'),
      typed('SentenceTransformer'),
    ];
    for (const model of embedders) expect(await readModelKind(model)).toBe('embedder');
  });

  it('refuse an unknown model_type', async () => {
    await expect(readModelKind(typed('Oracle'))).rejects.toMatchObject({
      code: 'unsupported-model',
      message: expect.stringMatching(/describes a Oracle; .*CrossEncoder/),
    });
  });

  it('load an embedder and a multi-vector model; loadModel() has no option "pooling"', async () => {
    const model = await loadModel(goldenModel('tiny-bert'), { backend: plainBackend() });
    expect(model.kind).toBe('embedder');
    await model.dispose();
    const late = await loadModel(goldenModel('late-bert'), { backend: plainBackend(), maxLength: 20 });
    if (late.kind !== 'multi-vector') throw new Error(late.kind);
    expect(late.maxLength.document).toBe(20);
    await late.dispose();
    // @ts-expect-error -- not an option of all loaders
    await expect(loadModel(goldenModel('tiny-bert'), { pooling: 'mean' })).rejects.toThrow(/no option "pooling"/);
  });

  it.each(['tiny-bert', 'late-bert', 'rerank-bert-1-label', 'splade-bert-max'])(
    'load a model with the result of its self-check that removes its listeners from the signals of calls: %s',
    async (name) => {
      await using model = await loadModel(goldenModel(name), { backend: plainBackend() });
      expect(model.selfCheck?.state).toBe('skipped'); // The plain backend has nothing to compare with.
      const { signal } = new AbortController();
      if (model.kind === 'reranker') await model.rank('a', ['b'], { signal });
      else await (model as Embedder).embedDocuments(['a'], { signal }); // All other kinds have this method.
      expect(getEventListeners(signal, 'abort')).toEqual([]);
      await using unchecked = await loadModel(goldenModel(name), { backend: plainBackend(), selfCheck: false });
      expect(unchecked.selfCheck).toBeUndefined();
    },
  );
});
