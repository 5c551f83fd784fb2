/** Sparse embedders: streams, errors, fingerprints and refused models. The backend contract compares their vectors. */
import { plainBackend } from '@sentvec/architectures';
import {
  loadModel,
  loadSparseEmbedder,
  memoryModel,
  readWeights,
  sparseDot,
  writeSafetensors,
  type Backend,
  type ModelFiles,
  type SparseEmbedder,
} from '@sentvec/core';
import { goldenModel } from '@sentvec/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const backend = plainBackend();
const long = 'the city and the sea '.repeat(40);

/** A golden model with some files replaced; `undefined` removes a file. */
async function changed(name: string, changes: Readonly<Record<string, unknown>>): Promise<ModelFiles> {
  const files = goldenModel(name);
  const contents = new Map<string, Uint8Array | string>();
  for (const path of await files.list()) contents.set(path, await files.read(path));
  for (const [path, value] of Object.entries(changes)) {
    if (value === undefined) contents.delete(path);
    else contents.set(path, value instanceof Uint8Array ? value : JSON.stringify(value));
  }
  return memoryModel(name, Object.fromEntries(contents));
}

const json = async (name: string, path: string): Promise<Record<string, unknown>> =>
  JSON.parse(new TextDecoder().decode(await goldenModel(name).read(path))) as Record<string, unknown>;

describe('a sparse embedder', () => {
  let embedder: SparseEmbedder;
  beforeAll(async () => {
    embedder = await loadSparseEmbedder(goldenModel('splade-bert-max'), { backend, maxActiveDims: 50 });
  });
  afterAll(() => embedder.dispose());

  it('has the settings of its folder, and receipts with tokens, truncated rows and fingerprint', async () => {
    expect(embedder).toMatchObject({ kind: 'sparse', dimension: 641, hasStaticQueries: false, backend: 'plain' });
    expect(embedder.maxLength).toEqual({ query: 40, document: 40 });
    expect(embedder.selfCheck).toMatchObject({ state: 'skipped' });
    const progress: number[] = [];
    const onProgress = ({ rows }: { readonly rows: number }) => progress.push(rows);
    const { vectors, receipt } = await embedder.embedDocuments(['a', long, 'the sea'], { onProgress });
    expect(vectors.map(({ indices }) => indices.length)).toEqual([50, 50, 50]);
    expect(receipt).toMatchObject({ rows: 3, truncated: [{ row: 1 }] });
    expect(receipt.tokens).toBeGreaterThan(44);
    expect(receipt.fingerprint).toBe((await embedder.fingerprint()).hash);
    expect(progress).toEqual([3]);
    expect((await embedder.embedDocuments([])).vectors).toEqual([]);
  });

  it('gives a text the same vector alone, in a large batch, and in a stream', async () => {
    const texts = Array.from({ length: 2100 }, (_, row) => (row % 700 === 3 ? 'the sea' : 'a'));
    const { vector } = await embedder.embedQuery('the sea', { maxActiveDims: 641 });
    const { vectors } = await embedder.embedDocuments(texts.slice(0, 70), { maxActiveDims: 641 });
    expect(sparseDot(vectors[3]!, vector)).toBeCloseTo(sparseDot(vector, vector), 4);
    const rows: number[] = [];
    for await (const { row, text, vector: streamed } of embedder.embedStream(texts, { as: 'query' })) {
      rows.push(row);
      expect(streamed.indices).toHaveLength(50);
      expect(text).toBe(texts[row]);
    }
    expect(rows).toEqual([...texts.keys()]);
  });

  it('decodes the terms with the largest weights', async () => {
    const { vector } = await embedder.embedQuery('the sea');
    const terms = await embedder.decode(vector, 3);
    expect(terms).toHaveLength(3);
    expect(terms[0]!.weight).toBe(Math.max(...vector.values));
    await expect(embedder.decode(vector, 0)).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('refuses values that are not strings by their row, aborted signals and unknown options', async () => {
    await expect(embedder.embedDocuments(['a', 7 as never])).rejects.toMatchObject({
      code: 'invalid-text',
      details: { row: 1 },
    });
    await expect(embedder.embedQuery(['a'], { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
    await expect(embedder.embedQuery(['a'], { maxActiveDims: 0 })).rejects.toMatchObject({ code: 'invalid-argument' });
    // @ts-expect-error -- an option of dense embedders only
    await expect(embedder.embedQuery(['a'], { truncateDim: 3 })).rejects.toThrow(/no option "truncateDim"/);
  });

  it('aborts a stream that waits for its source, and rethrows the error of a callback', async () => {
    const caller = new AbortController();
    const endless = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
    const first = embedder.embedStream(endless, { signal: caller.signal })[Symbol.asyncIterator]().next();
    caller.abort();
    await expect(first).rejects.toMatchObject({ code: 'aborted' });
    const onProgress = (): never => {
      throw new RangeError('the bar is full');
    };
    await expect(embedder.embedQuery(['a'], { onProgress })).rejects.toThrow(/^the bar is full$/u);
  });

  it('has another fingerprint with another pooling or other prompts', async () => {
    const pooling = await json('splade-bert-max', '1_SpladePooling/config.json');
    const settings = await json('splade-bert-max', 'config_sentence_transformers.json');
    const others = [
      await changed('splade-bert-max', { '1_SpladePooling/config.json': { ...pooling, pooling_strategy: 'sum' } }),
      await changed('splade-bert-max', {
        'config_sentence_transformers.json': { ...settings, prompts: { query: 'query: ', document: '' } },
      }),
    ];
    const hashes = [(await embedder.fingerprint()).hash];
    for (const model of others) {
      await using other = await loadSparseEmbedder(model, { backend, selfCheck: false });
      hashes.push((await other.fingerprint()).hash);
    }
    expect(new Set(hashes).size).toBe(3);
  });

  it('throws an error that names the row when weights of NaN give a text NaN', async () => {
    const stored = await readWeights(goldenModel('splade-bert-max'));
    const tensors = Object.fromEntries(
      stored.names().map((name) => {
        const { shape, data } = stored.tensor(name);
        return [name, { shape, data: data.slice() }];
      }),
    );
    // Only texts of more than six tokens have the seventh position.
    const positions = tensors['bert.embeddings.position_embeddings.weight']!;
    positions.data[6 * positions.shape[1]!] = NaN;
    const model = await changed('splade-bert-max', { 'model.safetensors': writeSafetensors(tensors) });
    await using broken = await loadSparseEmbedder(model, { backend, selfCheck: false });
    expect((await broken.embedDocuments(['a', 'the'])).vectors).toHaveLength(2);
    // The row counts from the start of the stream, although the text is in its second window.
    async function* texts(): AsyncGenerator<string> {
      yield 'a';
      await new Promise((resolve) => void setTimeout(resolve, 50));
      yield long;
    }
    const reading = async (): Promise<void> => {
      for await (const { row } of broken.embedStream(texts(), { as: 'document', maxWait: 0 })) expect(row).toBe(0);
    };
    await expect(reading()).rejects.toMatchObject({
      code: 'backend-failed',
      message: expect.stringContaining('row 1 '),
      details: { row: 1 },
    });
  });

  it('puts the prompt of the role before a text', async () => {
    const settings = await json('splade-bert-max', 'config_sentence_transformers.json');
    const prompts = { query: 'the ', passage: 'a ' };
    const model = await changed('splade-bert-max', { 'config_sentence_transformers.json': { ...settings, prompts } });
    await using prompted = await loadSparseEmbedder(model, { backend, maxActiveDims: 50 });
    expect((await prompted.embedQuery('sea')).vector).toEqual((await embedder.embedQuery('the sea')).vector);
    expect((await prompted.embedDocuments('sea')).vector).toEqual((await embedder.embedQuery('a sea')).vector);
  });
});

describe('queries of an inference-free model', () => {
  it('use a table of weights; loadModel() loads the table and the encoder', async () => {
    const embedder = await loadModel(goldenModel('splade-inference-free'), { backend });
    if (embedder.kind !== 'sparse') throw new Error(`It is ${embedder.kind}.`);
    expect(embedder).toMatchObject({ hasStaticQueries: true, dimension: 641 });
    expect((await embedder.embedQuery('')).vector.indices).toHaveLength(0);
    const { receipt } = await embedder.embedQuery(['a', long]);
    expect(receipt).toMatchObject({ rows: 2, truncated: [{ row: 1 }], paddingWaste: 0 });
    await embedder.dispose();
    await expect(embedder.embedQuery('a')).rejects.toMatchObject({ code: 'disposed' });
    await embedder.dispose();
  });

  it('need a finite weight for each token', async () => {
    const path = 'query_0_SparseStaticEmbedding/model.safetensors';
    const table = (count: number, value: number): Uint8Array =>
      writeSafetensors({ weight: { shape: [count], data: new Float32Array(count).fill(value) } });
    for (const [weights, message] of [
      [table(640, 1), 'ids up to 640'],
      [table(641, NaN), 'NaN'],
      [table(700, 1), '700 terms and documents 641'],
    ] as const) {
      const model = await changed('splade-inference-free', { [path]: weights });
      await expect(loadSparseEmbedder(model, { backend })).rejects.toMatchObject({
        code: 'invalid-model',
        message: expect.stringContaining(message),
      });
    }
  });

  it('are refused when they contain an added token beyond the table; other texts are not', async () => {
    const path = 'query_0_SparseStaticEmbedding/tokenizer.json';
    const tokenizer = await json('splade-inference-free', path);
    const image = {
      id: 641,
      content: '<image>',
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    };
    const added = { ...tokenizer, added_tokens: [...(tokenizer['added_tokens'] as object[]), image] };
    await using embedder = await loadSparseEmbedder(await changed('splade-inference-free', { [path]: added }), {
      backend,
    });
    await using golden = await loadSparseEmbedder(goldenModel('splade-inference-free'), { backend });
    expect((await embedder.embedQuery('the sea')).vector).toEqual((await golden.embedQuery('the sea')).vector);
    await expect(embedder.embedQuery(['the sea', 'an <image> of it'])).rejects.toMatchObject({
      code: 'invalid-text',
      message: expect.stringMatching(/^Row 1 has the token "<image>", for which the model has no embedding/u),
    });
  });

  it('are refused when their weights are in an idf.json', async () => {
    const config = 'query_0_SparseStaticEmbedding/config.json';
    const idf = new TextEncoder().encode('{"the":1}');
    const plain = { 'modules.json': undefined, 'config_sentence_transformers.json': undefined, 'idf.json': idf };
    for (const [name, changes, message] of [
      [
        'splade-inference-free',
        { [config]: { frozen: true, path: 'org/model/idf.json' } },
        /config\.json says that the weights are in "org\/model\/idf\.json"/u,
      ],
      [
        'splade-bert-max',
        { ...plain, 'sentence_bert_config.json': undefined },
        /splade-bert-max has an idf\.json with the weights of queries/u,
      ],
    ] as const)
      await expect(loadSparseEmbedder(await changed(name, changes), { backend })).rejects.toMatchObject({
        code: 'unsupported-model',
        message: expect.stringMatching(message),
      });
  });
});

describe('loadSparseEmbedder', () => {
  it('prefers maxLength to the length of the folder, also for queries by a table', async () => {
    const own = 'query_0_SparseStaticEmbedding/tokenizer_config.json';
    const message = await json('splade-inference-free', own);
    const model = await changed('splade-inference-free', { [own]: { ...message, model_max_length: 8 } });
    await using embedder = await loadSparseEmbedder(model, { backend });
    expect(embedder.maxLength.query).toBe(8);
    await using longer = await loadSparseEmbedder(model, { backend, maxLength: 20 });
    expect(longer.maxLength).toEqual({ query: 20, document: 20 });
    expect((await longer.embedQuery('the sea')).receipt.truncated).toEqual([]);
    expect((await longer.embedQuery(long)).receipt.truncated).toMatchObject([{ row: 0 }]);
    for (const maxLength of [0, -1, 1.5, NaN])
      await expect(loadSparseEmbedder(model, { backend, maxLength })).rejects.toMatchObject({
        code: 'invalid-argument',
      });
  });

  it('loads a masked language model without modules.json with a warning about the assumed pooling', async () => {
    const plain = { 'modules.json': undefined, 'config_sentence_transformers.json': undefined };
    const notes: string[] = [];
    const onWarning = (note: string) => notes.push(note);
    const model = await changed('splade-bert-max', { ...plain, 'sentence_bert_config.json': undefined });
    await using embedder = await loadSparseEmbedder(model, { backend, onWarning });
    await using golden = await loadSparseEmbedder(goldenModel('splade-bert-max'), { backend });
    expect((await embedder.embedQuery('the sea')).vector).toEqual((await golden.embedQuery('the sea')).vector);
    expect(notes).toEqual([expect.stringContaining('no modules.json')]);
  });

  it('loads the layout of sentence-transformers 5 with an MLMTransformer', async () => {
    const entry = (idx: number, path: string, type: string) => ({ idx, name: String(idx), path, type });
    const model = await changed('splade-bert-max', {
      'modules.json': [
        entry(0, '', 'sentence_transformers.sparse_encoder.models.MLMTransformer'),
        entry(1, '1_SpladePooling', 'sentence_transformers.sparse_encoder.models.SpladePooling'),
      ],
      'sentence_bert_config.json': { max_seq_length: 12, do_lower_case: false },
    });
    await using embedder = await loadSparseEmbedder(model, { backend });
    expect(embedder.maxLength.document).toBe(12);
  });

  it('refuses other kinds of models and unsupported settings by name', async () => {
    const refused = async (model: ModelFiles, message: string, other: Backend = backend) => {
      await expect(loadSparseEmbedder(model, { backend: other })).rejects.toMatchObject({
        code: 'unsupported-model',
        message: expect.stringContaining(message),
      });
    };
    await refused(goldenModel('tiny-bert'), 'loadEmbedder()');
    const pooling = await json('splade-bert-max', '1_SpladePooling/config.json');
    const config = '1_SpladePooling/config.json';
    await refused(await changed('splade-bert-max', { [config]: { ...pooling, pooling_strategy: 'mean' } }), '"mean"');
    const activation = { ...pooling, activation_function: 'softplus' };
    await refused(await changed('splade-bert-max', { [config]: activation }), '"softplus"');
    await refused(await changed('splade-bert-max', { 'model.safetensors': undefined }), 'no model.safetensors');
    const modules = [{ idx: 0, name: '0', path: '', type: 'a.SparseAutoEncoder' }];
    await refused(await changed('splade-bert-max', { 'modules.json': modules }), 'SparseAutoEncoder');
    const withoutTerms: Backend = {
      ...backend,
      load: async (files, options) => {
        const encoder = await backend.load(files, options);
        const { hiddenSize, maxPositions, concurrency, batchTokens } = encoder;
        const encode: typeof encoder.encode = (batch) => encoder.encode(batch);
        return { hiddenSize, maxPositions, concurrency, batchTokens, encode, dispose: () => encoder.dispose() };
      },
    };
    await refused(goldenModel('splade-bert-max'), 'does not compute term weights', withoutTerms);
    await expect(loadSparseEmbedder(goldenModel('splade-bert-max'))).rejects.toThrow(/needs a backend/);
  });
});
