// Rerankers: the token ids of pairs, rank() and score(), activations, prompts, and refused models and arguments.
import { plainBackend } from '@sentvec/architectures';
import {
  javaScriptTokenizer,
  loadEmbedder,
  loadModel,
  loadReranker,
  memoryModel,
  readRerankerFolder,
  readWeights,
  SentvecError,
  writeSafetensors,
  type Backend,
  type LoadRerankerOptions,
  type ModelFiles,
  type Reranker,
  type TextPair,
  type TokenBatch,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { goldenExpectation, goldenModel, goldenRerankerNames, type GoldenPairs } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { upToLast } from '../src/reranker/pair-tokenizer.ts';

const golden = (name: string): GoldenPairs => goldenExpectation(name) as unknown as GoldenPairs;

/**
 * The plain backend, and a list of the batches that its encoders received. With `computes: false` all vectors are zero,
 * which is faster.
 */
function spyingBackend({ computes = true } = {}): { readonly backend: Backend; readonly batches: TokenBatch[] } {
  const batches: TokenBatch[] = [];
  const plain = plainBackend();
  const backend: Backend = {
    ...plain,
    load: async (files, options) => {
      const encoder = await plain.load(files, options);
      return {
        hiddenSize: encoder.hiddenSize,
        maxPositions: encoder.maxPositions,
        concurrency: 1,
        batchTokens: 512,
        encode: (batch, encodeOptions) => {
          batches.push(batch);
          if (computes) return encoder.encode(batch, encodeOptions);
          const [rows, cols] = [batch.rows * batch.cols, encoder.hiddenSize];
          return Promise.resolve({ data: new Float32Array(rows * cols), rows, cols });
        },
        dispose: () => encoder.dispose(),
      };
    },
  };
  return { backend, batches };
}

async function withReranker<T>(
  model: ModelFiles,
  use: (reranker: Reranker) => Promise<T>,
  options: LoadRerankerOptions = {},
): Promise<T> {
  const reranker = await loadReranker(model, { backend: plainBackend(), ...options });
  try {
    return await use(reranker);
  } finally {
    await reranker.dispose();
  }
}

/** A golden model whose files are merged with `changes`; a string or bytes replace a file, `undefined` removes it. */
async function changed(name: string, changes: Readonly<Record<string, unknown>>): Promise<ModelFiles> {
  const files = goldenModel(name);
  const contents: Record<string, Uint8Array | string> = {};
  for (const path of await files.list()) contents[path] = await files.read(path);
  for (const [path, change] of Object.entries(changes)) {
    if (change === undefined) delete contents[path];
    else if (typeof change === 'string' || change instanceof Uint8Array) contents[path] = change;
    else contents[path] = merged(contents[path], change as object);
  }
  return memoryModel(name, contents);
}

function merged(file: Uint8Array | string | undefined, change: object): string {
  const before = file === undefined ? {} : (JSON.parse(new TextDecoder().decode(file as Uint8Array)) as object);
  return JSON.stringify({ ...before, ...change });
}

async function refusal(work: Promise<unknown>): Promise<SentvecError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(SentvecError);
  return error as SentvecError;
}

describe('a pair has the ids, token types and truncation of sentence-transformers', () => {
  // The native library is tested with one model for each kind of vocabulary.
  const native = ['rerank-bert-1-label', 'rerank-roberta-1-label', 'rerank-xlm-roberta-plain'];
  it.each([
    ...goldenRerankerNames.map((name) => [name, 'in JavaScript', javaScriptTokenizer] as const),
    ...native.map((name) => [name, 'native', nodeTokenizer('native')] as const),
  ])('%s, tokenized %s', async (name, _, tokenizer) => {
    const { backend, batches } = spyingBackend({ computes: false });
    const { cases, max_seq_length: maxLength } = golden(name);
    const reranker = await loadReranker(goldenModel(name), { backend, tokenizer, selfCheck: false });
    expect(reranker.maxLength).toBe(maxLength);
    for (const { query, document, ids, token_type_ids: types } of cases) {
      batches.length = 0;
      const { receipt } = await reranker.score([[query, document]]);
      expect([...batches[0]!.ids]).toEqual(ids);
      expect([...(batches[0]!.typeIds ?? new Int32Array(ids.length))]).toEqual(types ?? ids.map(() => 0));
      expect(receipt.tokens).toBe(ids.length);
    }
    await reranker.dispose();
  });

  it('tokenizes each text to the end of the word that reaches the limit, like the Rust tokenizers', async () => {
    // Values of the library `tokenizers` 0.23: the texts have 54 and 155 tokens, 50 and 48 are kept for the 45 that
    // fit.
    const { backend, batches } = spyingBackend();
    const model = goldenModel('rerank-bert-1-label');
    const { cases } = golden('rerank-bert-1-label');
    const isLong = (text: string): boolean => text.length > 99;
    const { query, document } = cases.find((each) => isLong(each.query) && isLong(each.document))!;
    const reranker = await loadReranker(model, { backend, selfCheck: false });
    const { receipt } = await reranker.score([[query, document]]);
    expect(batches[0]!.typeIds!.indexOf(1)).toBe(25);
    expect(receipt.truncated).toEqual([{ row: 0, length: 54 + 155 + 3 }]);
    await reranker.dispose();
  });
});

it('a pair is truncated at the start of its texts with truncation_side left', async () => {
  const { backend, batches } = spyingBackend();
  const files = await changed('rerank-bert-1-label', { 'tokenizer_config.json': { truncation_side: 'left' } });
  const [first, second] = ['a query', 'the capital of france is a city and the man plays a guitar'];
  const idsOf = async (maxLength: number): Promise<number[]> => {
    await withReranker(files, (each) => each.score([[first, second]]), { backend, maxLength, selfCheck: false });
    return [...batches.at(-1)!.ids];
  };
  const whole = await idsOf(48);
  const start = whole.indexOf(whole.at(-1)!) + 1;
  const room = whole.length - start - 5;
  expect(await idsOf(whole.length - 5)).toEqual([...whole.slice(0, start), ...whole.slice(-room)]);
});

describe('rank()', () => {
  const query = 'what is the capital of France?';
  const documents = golden('rerank-bert-1-label').rank!.documents;

  it('returns the topK best documents in descending order, with their texts', () =>
    withReranker(goldenModel('rerank-bert-1-label'), async (reranker) => {
      const { results } = golden('rerank-bert-1-label').rank!;
      const hits = await reranker.rank(query, documents, { topK: 3 });
      expect(hits.map(({ row, document }) => [row, document])).toEqual(
        results.slice(0, 3).map(({ corpus_id: row }) => [row, documents[row]]),
      );
      expect(await reranker.rank(query, [])).toEqual([]);
    }));

  it('keeps the order of documents with equal scores', () =>
    withReranker(goldenModel('rerank-bert-1-label'), async (reranker) => {
      const hits = await reranker.rank(query, ['the same', 'the same', 'the same']);
      expect(hits.map(({ row }) => row)).toEqual([0, 1, 2]);
    }));

  it('ranks by one of several labels and requires the option "label"', () =>
    withReranker(goldenModel('rerank-bert-3-labels'), async (reranker) => {
      expect(reranker.labels).toEqual(['contradiction', 'entailment', 'neutral']);
      const hits = await reranker.rank(query, documents, { label: 'entailment', activation: 'Softmax' });
      const { scores } = await reranker.score(
        documents.map((document): TextPair => [query, document]),
        { activation: 'Softmax' },
      );
      for (const { row, score } of hits) expect(score).toBe(scores.data[row * 3 + 1]);
      expect(hits.map(({ score }) => score)).toEqual(hits.map(({ score }) => score).sort((a, b) => b - a));
      const unnamed = await refusal(reranker.rank(query, documents));
      expect(unnamed).toMatchObject({ code: 'invalid-argument', message: expect.stringContaining('"entailment"') });
      const unknown = await refusal(reranker.rank(query, documents, { label: 'maybe' }));
      expect(unknown).toMatchObject({ code: 'invalid-argument', message: expect.stringContaining('"maybe"') });
    }));

  it('sorts by raw scores when the sigmoid rounds them to equal scores', async () => {
    // With the classifier multiplied by -1000 the sigmoid rounds to 0 or 1 in single precision.
    const model = await changed('rerank-bert-1-label', {});
    const raw = await withReranker(model, (reranker) => reranker.rank(query, documents, { activation: 'Identity' }));
    const weights = await readWeights(model);
    const tensors = Object.fromEntries(
      weights.names().map((name) => {
        const { shape, data } = weights.tensor(name);
        return [name, { shape, data: name.startsWith('classifier') ? data.map((value) => -1000 * value) : data }];
      }),
    );
    const files: Record<string, Uint8Array> = {};
    for (const path of await model.list()) files[path] = await model.read(path);
    const steep = memoryModel('steep', { ...files, 'model.safetensors': writeSafetensors(tensors) });
    const hits = await withReranker(steep, (reranker) => reranker.rank(query, documents));
    expect(new Set(hits.map(({ score }) => score)).size).toBeLessThan(documents.length);
    expect(hits.map(({ row }) => row)).toEqual(raw.map(({ row }) => row).toReversed());
  });
});

describe('the activation', () => {
  it.each([
    ['rerank-bert-1-label', 'Sigmoid'],
    ['rerank-bert-ms-marco-old', 'Identity'],
    ['rerank-roberta-1-label', 'Sigmoid'],
    ['rerank-xlm-roberta-plain', 'Sigmoid'],
    ['rerank-bert-3-labels', 'Identity'],
  ])('of %s is %s', (name, activation) =>
    withReranker(goldenModel(name), async (reranker) => expect(reranker.activation).toBe(activation)),
  );

  it('is read from the settings of every version of sentence-transformers; an unknown class gives a warning', async () => {
    const plain = (config: object): Promise<ModelFiles> =>
      changed('rerank-xlm-roberta-plain', { 'config.json': config });
    const older = await plain({ sbert_ce_default_activation_function: 'torch.nn.modules.linear.Identity' });
    expect(await withReranker(older, async ({ activation }) => activation)).toBe('Identity');
    const both = await plain({
      sentence_transformers: { version: '4.0.1' },
      sbert_ce_default_activation_function: 'torch.nn.modules.linear.Identity',
    });
    expect(await withReranker(both, async ({ activation }) => activation)).toBe('Identity');
    const newer = await plain({ sentence_transformers: { activation_fn: 'torch.nn.modules.activation.Tanh' } });
    expect(await withReranker(newer, async ({ activation }) => activation)).toBe('Tanh');
    // Like sentence-transformers 6.1, which reads this file only together with modules.json.
    const withoutModules = await changed('rerank-xlm-roberta-plain', {
      'config_sentence_transformers.json': { activation_fn: 'torch.nn.modules.activation.Tanh' },
    });
    expect(await withReranker(withoutModules, async ({ activation }) => activation)).toBe('Sigmoid');
    const foreign = await plain({ sentence_transformers: { activation_fn: 'my.code.Swirl' } });
    const notes: string[] = [];
    const options = { onWarning: (note: string) => void notes.push(note) };
    expect(await withReranker(foreign, async ({ activation }) => activation, options)).toBe('Sigmoid');
    expect(notes).toEqual([expect.stringContaining('my.code.Swirl')]);
    const unknown = await plain({ sentence_transformers: { activation_fn: 'torch.nn.modules.activation.PReLU' } });
    expect(await refusal(loadReranker(unknown, { backend: plainBackend() }))).toMatchObject({
      code: 'unsupported-model',
    });
  });

  it('can be set for a call; softmax of a single label is refused', () =>
    withReranker(goldenModel('rerank-bert-1-label'), async (reranker) => {
      const pairs: TextPair[] = [['a', 'b']];
      const raw = (await reranker.score(pairs, { activation: 'Identity' })).scores.data[0]!;
      const { scores } = await reranker.score(pairs);
      expect(scores.data[0]).toBeCloseTo(1 / (1 + Math.exp(-raw)), 6);
      const error = await refusal(reranker.score(pairs, { activation: 'Softmax' }));
      expect(error).toMatchObject({
        code: 'invalid-argument',
        message: expect.stringContaining('of a single number is constant'),
      });
      // @ts-expect-error -- no activation
      expect(await refusal(reranker.score(pairs, { activation: 'softmax' }))).toMatchObject({
        code: 'invalid-argument',
      });
    }));
});

describe('prompts', () => {
  it('are put before the query, or into the system message of a chat template', async () => {
    const prompts = { prompts: { web: 'a web page: ' }, default_prompt_name: null };
    for (const name of ['rerank-bert-1-label', 'rerank-qwen3-lm']) {
      const model = await changed(name, { 'config_sentence_transformers.json': prompts });
      await withReranker(model, async (reranker) => {
        const score = async (query: string, options = {}): Promise<number> =>
          (await reranker.score([[query, 'Paris']], options)).scores.data[0]!;
        const without = await score('France');
        const named = await score('France', { prompt: 'web' });
        expect(named).not.toBe(without);
        expect(await score('France', { promptText: 'a web page: ' })).toBe(named);
        const { receipt } = await reranker.score([['France', 'Paris']], { prompt: 'web' });
        expect(receipt.prompt).toBe('a web page: ');
        // The chat template puts the prompt into the system message, so this text differs.
        expect((await score('a web page: France')) === named).toBe(name === 'rerank-bert-1-label');
        expect(await refusal(score('France', { prompt: 'none' }))).toMatchObject({ code: 'invalid-argument' });
      });
    }
  });
});

/** The settings of a module that supports messages, with `settings` for its chat template. */
const chatSettings = (task: string, settings: object): object => ({
  transformer_task: task,
  modality_config: { text: { method: 'forward' }, message: { method: 'forward', format: 'flat' } },
  processing_kwargs: { chat_template: settings },
});

it('decoders with a classification head use the last token that is not the padding token, whatever the mask is', async () => {
  const tokenize = async () => [
    { ids: Int32Array.of(5, 6, 9, 9), length: 4, truncated: false },
    { ids: Int32Array.of(9, 7), length: 2, truncated: false },
    { ids: Int32Array.of(9, 9), length: 2, truncated: false },
  ];
  const { signal } = new AbortController();
  const pairs = await upToLast(tokenize, 9)([], { maxLength: 10, prompt: '', signal });
  // Like transformers, a text of padding tokens only is scored by its first token.
  expect(pairs.map(({ pooled }) => [...pooled!])).toEqual([
    [1, 1, 0, 0],
    [1, 1],
    [1, 0],
  ]);
});

describe('a chat beyond maxLength', () => {
  it('keeps the end of its template, after which the model predicts the answer', async () => {
    const { backend, batches } = spyingBackend();
    const model = goldenModel('rerank-qwen3-lm');
    const reranker = await loadReranker(model, { backend, maxLength: 60, selfCheck: false });
    const { receipt } = await reranker.score([['what is the capital of France?', 'Paris is the capital. '.repeat(9)]]);
    expect(receipt.truncated).toMatchObject([{ row: 0 }]);
    const whole = golden('rerank-qwen3-lm').cases[0]!.ids;
    expect([...batches[0]!.ids]).toHaveLength(60);
    expect([...batches[0]!.ids].slice(-12)).toEqual(whole.slice(-12));
    await reranker.dispose();
  });
});

describe('rerankers refuse', () => {
  const load = (model: ModelFiles): Promise<unknown> => loadReranker(model, { backend: plainBackend() });

  it('other kinds of models, and name their loader', async () => {
    for (const [model, name] of [
      ['tiny-bert', 'loadEmbedder()'],
      ['splade-bert-max', 'SparseEncoder'],
      ['late-bert', 'MultiVectorEncoder'],
    ] as const) {
      const error = await refusal(load(goldenModel(model)));
      expect(error).toMatchObject({ code: 'unsupported-model', message: expect.stringContaining(name) });
    }
    const error = await refusal(loadEmbedder(goldenModel('rerank-bert-1-label'), { backend: plainBackend() }));
    expect(error).toMatchObject({ code: 'unsupported-model', message: expect.stringContaining('loadReranker()') });
  });

  it.each([
    ['an unsupported architecture', 'rerank-bert-1-label', { 'config.json': { model_type: 'funnel' } }, 'funnel'],
    [
      'a number of labels that differs from the weights',
      'rerank-bert-1-label',
      { 'config.json': { id2label: { 0: 'a', 1: 'b' } } },
      '2 labels',
    ],
    [
      'labels that are not counted from 0',
      'rerank-bert-3-labels',
      { 'config.json': { id2label: { 0: 'a', 2: 'b', 3: 'c' } } },
      'must have the ids 0 to 2, one for each of its 3 labels',
    ],
    [
      'an unsupported pooling',
      'rerank-modernbert-cls-1',
      { 'config.json': { classifier_pooling: 'max' } },
      'the "classifier_pooling" "max"',
    ],
    [
      'an unsupported module_input_name',
      'rerank-qwen3-lm',
      { '1_LogitScore/config.json': { module_input_name: 'token_embeddings' } },
      'sets "module_input_name"',
    ],
    [
      'a chat template without a place for the document',
      'rerank-qwen3-lm',
      {
        'chat_template.jinja':
          '{% for m in messages %}{% if m.role == "query" %}{{ m.content }}{% endif %}{% endfor %}',
      },
      '"document"',
    ],
    [
      'a language model without a chat template',
      'rerank-qwen3-lm',
      { 'chat_template.jinja': undefined },
      'no chat template',
    ],
    [
      'several chat templates without "default"',
      'rerank-qwen3-lm',
      {
        'chat_template.jinja': undefined,
        'tokenizer_config.json': { chat_template: [{ name: 'tools', template: 'x' }] },
      },
      'of its chat templates, "tools", none is called "default"',
    ],
    ['an invalid chat template', 'rerank-qwen3-lm', { 'chat_template.jinja': '{% for %}' }, 'cannot be used'],
    [
      'the setting "max_length" of a chat template',
      'rerank-qwen3-lm',
      { 'sentence_bert_config.json': chatSettings('text-generation', { max_length: 32 }) },
      'sets "max_length"',
    ],
    [
      'messages without a chat template',
      'rerank-bert-1-label',
      { 'sentence_bert_config.json': chatSettings('sequence-classification', {}) },
      'no chat template',
    ],
    [
      'an answer token beyond the vocabulary',
      'rerank-qwen3-lm',
      { '1_LogitScore/config.json': { true_token_id: 9693 } },
      '9693',
    ],
    [
      'a plain language model whose tokenizer has no "yes" and "no"',
      'tiny-qwen3-causal-lm',
      {
        'modules.json': undefined,
        'config_sentence_transformers.json': undefined,
        'sentence_bert_config.json': undefined,
      },
      'it cannot be used as a reranker',
    ],
  ])('%s', async (_, name, changes, words) => {
    const error = await refusal(load(await changed(name, changes)));
    expect(['unsupported-model', 'invalid-model']).toContain(error.code);
    expect(error.message).toContain(words);
  });

  it('a language model without an output matrix, also in sharded weights', async () => {
    const weights = writeSafetensors({ other: { shape: [1], data: Float32Array.of(1) } });
    const shard = 'model-00001-of-00001.safetensors';
    const model = await changed('rerank-qwen3-lm', {
      'model.safetensors': undefined,
      [shard]: weights,
      'model.safetensors.index.json': { weight_map: { other: shard } },
    });
    const error = await refusal(readRerankerFolder(model, async () => undefined));
    expect(error.message).toMatch(/^The weights of rerank-qwen3-lm have no tensor "\w+\.weight"/);
    expect(error).toMatchObject({ code: 'invalid-model', details: { file: 'rerank-qwen3-lm' } });
  });

  it('no language model that has a chat template and the answers "yes" and "no"', async () => {
    const layout = { 'modules.json': undefined, 'config_sentence_transformers.json': undefined };
    const model = await changed('rerank-qwen3-lm', layout);
    await withReranker(model, async (reranker) => {
      const { query, document, logits } = golden('rerank-qwen3-lm').cases[0]!;
      const { scores } = await reranker.score([[query, document]], { activation: 'Identity' });
      expect(scores.data[0]).toBeCloseTo(logits[0]!, 4);
    });
  });

  it('no list of chat templates with "default", which is used', async () => {
    const template = new TextDecoder().decode(await goldenModel('rerank-qwen3-lm').read('chat_template.jinja'));
    const named = [
      { name: 'tool_use', template: 'x' },
      { name: 'default', template },
    ];
    const model = await changed('rerank-qwen3-lm', {
      'chat_template.jinja': undefined,
      'tokenizer_config.json': { chat_template: named },
    });
    await withReranker(model, async (reranker) => {
      const { query, document, logits } = golden('rerank-qwen3-lm').cases[0]!;
      const { scores } = await reranker.score([[query, document]], { activation: 'Identity' });
      expect(scores.data[0]).toBeCloseTo(logits[0]!, 4);
    });
  });

  it('no model without module_input_name and processing_kwargs, nor one with an untied lm_head', async () => {
    const { query, document, logits } = golden('rerank-qwen3-lm').cases[0]!;
    const files = goldenModel('rerank-qwen3-lm');
    const weights = await readWeights(files);
    const tensors = Object.fromEntries(weights.names().map((name) => [name, weights.tensor(name)]));
    const { shape, data } = tensors['model.embed_tokens.weight']!;
    const lmHead = { shape, data: data.map((value) => -value) };
    const template = new TextDecoder().decode(await files.read('chat_template.jinja'));
    const model = await changed('rerank-qwen3-lm', {
      '1_LogitScore/config.json': { module_input_name: undefined },
      'sentence_bert_config.json': { processing_kwargs: undefined },
      'chat_template.jinja': template.replace('add_generation_prompt', 'true'),
      'config.json': { tie_word_embeddings: false },
      'model.safetensors': writeSafetensors({ 'lm_head.weight': lmHead, ...tensors }),
    });
    await withReranker(model, async (reranker) => {
      const { scores } = await reranker.score([[query, document]], { activation: 'Identity' });
      expect(scores.data[0]).toBeCloseTo(-logits[0]!, 4);
    });
    const unset = await changed('rerank-qwen3-lm', { 'sentence_bert_config.json': { processing_kwargs: undefined } });
    const { backend, batches } = spyingBackend();
    await withReranker(unset, (reranker) => reranker.score([[query, document]]), { backend, selfCheck: false });
    const answer = golden('rerank-qwen3-lm').cases[0]!.ids.slice(batches[0]!.ids.length);
    expect(answer.length).toBeGreaterThan(0); // Without add_generation_prompt the template adds no start of an answer.
  });

  it('an empty query, values that are not strings, unknown options, a pair that is too long when truncate is false', () =>
    withReranker(goldenModel('rerank-bert-1-label'), async (reranker) => {
      for (const query of ['', '  \n', 7])
        expect(await refusal(reranker.rank(query as string, ['a']))).toMatchObject({ code: 'invalid-text' });
      expect(await refusal(reranker.rank('a', ['b', 5 as never]))).toMatchObject({
        code: 'invalid-text',
        details: { row: 1 },
      });
      expect(await refusal(reranker.rank('a', 'b' as never))).toMatchObject({ code: 'invalid-argument' });
      expect(await refusal(reranker.score([['a', 'b'], ['c'] as never]))).toMatchObject({ details: { row: 1 } });
      expect(await refusal(reranker.rank('a', ['b'], { topK: 0 }))).toMatchObject({ code: 'invalid-argument' });
      // @ts-expect-error -- no such option
      expect(await refusal(reranker.rank('a', ['b'], { top_k: 1 }))).toMatchObject({ code: 'invalid-argument' });
      const pairs: TextPair[] = [
        ['short', 'short'],
        ['short', 'long '.repeat(99)],
      ];
      const error = await refusal(reranker.score(pairs, { truncate: false }));
      expect(error).toMatchObject({ code: 'invalid-text', details: { row: 1, maxLength: 48 } });
      expect((await reranker.score(pairs)).receipt.truncated).toMatchObject([{ row: 1 }]);
    }));

  it('a score of NaN, with the row of its pair', async () => {
    const plain = plainBackend();
    const backend: Backend = {
      ...plain,
      load: async (files, options) => {
        const encoder = await plain.load(files, options);
        return {
          hiddenSize: encoder.hiddenSize,
          maxPositions: encoder.maxPositions,
          concurrency: 1,
          batchTokens: 1,
          encode: async (batch) => {
            const tokens = await encoder.encode(batch);
            return batch.cols > 40 ? { ...tokens, data: tokens.data.fill(NaN) } : tokens;
          },
          dispose: () => encoder.dispose(),
        };
      },
    };
    const model = goldenModel('rerank-bert-1-label');
    await withReranker(
      model,
      async (reranker) => {
        const error = await refusal(reranker.rank('a query', ['short', 'long '.repeat(99)]));
        expect(error).toMatchObject({ code: 'backend-failed', details: { row: 1 } });
      },
      { backend },
    );
  });

  it('a call after dispose(), and one whose signal fired', async () => {
    const reranker = await loadReranker(goldenModel('rerank-bert-1-label'), { backend: plainBackend() });
    const aborted = await refusal(reranker.rank('a', ['b'], { signal: AbortSignal.abort() }));
    expect(aborted.code).toBe('aborted');
    await reranker.dispose();
    expect(await refusal(reranker.rank('a', ['b']))).toMatchObject({ code: 'disposed' });
  });
});

it('loadModel() gives a reranker', async () => {
  const model = await loadModel(goldenModel('rerank-bert-1-label'), { backend: plainBackend() });
  expect(model.kind).toBe('reranker');
  await model.dispose();
});
