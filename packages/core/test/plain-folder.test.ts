import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { plainBackend } from '@sentvec/architectures';
import {
  loadEmbedder,
  memoryModel,
  readModelFolder,
  SentvecError,
  type Backend,
  type Encoder,
  type ModelFiles,
  type TokenBatch,
  urlModel,
} from '@sentvec/core';
import { goldenExpectation, goldenModel } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { dense, denseConfig, modules } from './small-folders.ts';

const card = (fields: string): string => `---\n${fields}\n---\n# A model\n`;

/** A folder without `modules.json` whose `related()` finds the models in `others`. */
function plain(
  files: Readonly<Record<string, unknown>>,
  others: Readonly<Record<string, ModelFiles>> = {},
  name = 'org/converted',
): ModelFiles {
  const contents = { 'config.json': { model_type: 'bert', hidden_size: 4 }, ...files };
  const model = memoryModel(
    name,
    Object.fromEntries(
      Object.entries(contents).map(([path, content]) => [
        path,
        content instanceof Uint8Array || typeof content === 'string' ? content : JSON.stringify(content),
      ]),
    ),
  );
  return {
    ...model,
    related: async (other) => {
      const found = others[other];
      if (found === undefined) throw new SentvecError('model-not-found', `There is no model ${other}.`);
      return found;
    },
  };
}

const base = plain(
  {
    'modules.json': modules('Transformer', 'Pooling', 'Dense', 'Normalize'),
    '1_Pooling/config.json': { embedding_dimension: 4, pooling_mode: 'cls' },
    '2_Dense/config.json': denseConfig(),
    '2_Dense/model.safetensors': dense(3, 4),
    '3_Normalize/config.json': {},
    'sentence_bert_config.json': { max_seq_length: 77, do_lower_case: true },
    'config_sentence_transformers.json': { prompts: { query: 'q: ' }, similarity_fn_name: 'dot' },
  },
  {},
  'org/base',
);

describe('a folder without modules.json whose card names its base model', () => {
  it.each([
    'base_model: org/base\nlibrary_name: transformers.js',
    'base_model:\n- org/base\ntags: [onnx]\nbase_model_relation: quantized',
    'base_model: "org/base" # a comment\nlicense: mit',
  ])('gets head, prompts and similarity function of the base model: %s', async (fields) => {
    const read = await readModelFolder(plain({ 'README.md': card(fields) }, { 'org/base': base }));
    expect(read).toMatchObject({
      headSource: 'base-model',
      head: { pooling: { modes: ['cls'] }, projections: [{ kind: 'dense' }, { kind: 'normalize' }] },
      maxLength: 77,
      lowerCase: true,
      prompts: { query: 'q: ' },
      similarityFunction: 'dot',
      notes: ['org/converted has no modules.json; pooling and projections are those of org/base, its base model.'],
    });
  });

  it('follows the base model of the base model, and refuses a cycle', async () => {
    const fields = (name: string): string => card(`base_model: ${name}\nlibrary_name: transformers.js`);
    const middle = plain({ 'README.md': fields('org/base') }, { 'org/base': base }, 'org/middle');
    const read = await readModelFolder(plain({ 'README.md': fields('org/middle') }, { 'org/middle': middle }));
    expect(read).toMatchObject({ headSource: 'base-model', head: { pooling: { modes: ['cls'] } } });
    const circle: Record<string, ModelFiles> = {};
    circle['org/a'] = plain({ 'README.md': fields('org/b') }, circle, 'org/a');
    circle['org/b'] = plain({ 'README.md': fields('org/a') }, circle, 'org/b');
    await expect(readModelFolder(circle['org/a'])).rejects.toMatchObject({ code: 'unsupported-model' });
  });

  it('is refused when hidden_size differs from that of the base model', async () => {
    const model = plain(
      { 'README.md': card('base_model: org/base'), 'config.json': { model_type: 'bert', hidden_size: 8 } },
      { 'org/base': base },
    );
    await expect(readModelFolder(model)).rejects.toMatchObject({ code: 'invalid-model' });
  });

  it('does not read the base model when the caller sets the pooling', async () => {
    const model = plain({ 'README.md': card('base_model: org/nowhere\nlibrary_name: transformers.js') });
    expect(await readModelFolder(model, { pooling: 'max' })).toMatchObject({
      headSource: 'caller',
      head: { pooling: { modes: ['max'] } },
      notes: [],
    });
  });
});

describe('a folder without modules.json and without a readable base model', () => {
  it.each([
    [
      'a conversion whose base model cannot be read',
      'base_model: org/nowhere\nlibrary_name: transformers.js',
      /org\/nowhere cannot be read: There is no model/,
    ],
    ['a quantization', 'base_model: org/nowhere\nbase_model_relation: quantized', /a conversion of another model/],
    ['a card with a base model, and only ONNX weights', 'base_model: org/nowhere', /Load org\/nowhere instead/],
    [
      'a sentence embedding model by its pipeline_tag',
      'pipeline_tag: sentence-similarity',
      /its card describes a sentence embedding model/,
    ],
    [
      'a sentence embedding model by its library_name',
      'library_name: sentence-transformers',
      /set "pooling" as the card describes it/,
    ],
    [
      'a sentence embedding model by its tags',
      'tags:\n  - bert\n  - sentence-transformers',
      /a sentence embedding model/,
    ],
  ])('is refused with an error that says what to do: %s', async (_, fields, message) => {
    await expect(readModelFolder(plain({ 'README.md': card(fields) }))).rejects.toMatchObject({
      code: 'unsupported-model',
      message: expect.stringMatching(message),
    });
  });

  it('is refused because of its card on a web server as well', async () => {
    const files: Readonly<Record<string, string>> = {
      '/config.json': '{"model_type":"bert","hidden_size":4}',
      '/README.md': card('pipeline_tag: sentence-similarity'),
    };
    const server = createServer(({ url = '' }, response) => {
      const content = files[url];
      response.writeHead(content === undefined ? 404 : 200).end(content);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const model = urlModel(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await expect(readModelFolder(model)).rejects.toMatchObject({ code: 'unsupported-model' });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it.each([
    ['no card', undefined],
    ['a card of a base encoder', card('pipeline_tag: fill-mask\nlicense: apache-2.0')],
    ['a card without fields', '# A model\n'],
    ['a card that cannot be read', card('a: [')],
    [
      'a card with nested YAML aliases (a "billion laughs" attack)',
      card(
        `a: &a [x,x]\n${'bcdefghij'
          .split('')
          .map((key, i) => `${key}: &${key} [${`*${'abcdefghi'[i]},`.repeat(9)}]`)
          .join('\n')}`,
      ),
    ],
    ['PyTorch weights and a base model whose card cannot be read', card('base_model: org/nowhere')],
  ])('gets mean pooling when it is an encoder: %s', async (_, readme) => {
    const files = { 'model.safetensors': new Uint8Array(8), ...(readme !== undefined && { 'README.md': readme }) };
    const read = await readModelFolder(plain(files));
    expect(read).toMatchObject({ headSource: 'assumed', head: { pooling: { modes: ['mean'] }, projections: [] } });
    expect(read.notes).toEqual([expect.stringMatching(/the pooling "mean" was assumed/)]);
  });

  it('gets mean pooling when it is a conversion of an encoder', async () => {
    const encoder = plain({ 'README.md': card('pipeline_tag: fill-mask') }, {}, 'google-bert/bert');
    const model = plain(
      { 'README.md': card('base_model: google-bert/bert\nlibrary_name: transformers.js') },
      { 'google-bert/bert': encoder },
    );
    expect(await readModelFolder(model)).toMatchObject({ headSource: 'assumed' });
  });

  it.each([
    'BertForSequenceClassification',
    'XLMRobertaForTokenClassification',
    'DistilBertForQuestionAnswering',
    'RobertaForMultipleChoice',
    'ViTForImageClassification',
  ])('is refused when its architecture has a head for another task: %s', async (architecture) => {
    const model = plain({ 'config.json': { model_type: 'bert', architectures: [architecture] } });
    await expect(readModelFolder(model)).rejects.toMatchObject({
      code: 'unsupported-model',
      message: expect.stringContaining(architecture),
    });
    await expect(readModelFolder(model, { pooling: 'mean' })).rejects.toMatchObject({ code: 'unsupported-model' });
  });
});

/** The golden model `tiny-bert` without `modules.json` and its module folders, with the files in `changes`. */
async function bare(changes: Readonly<Record<string, string | Uint8Array>> = {}): Promise<ModelFiles> {
  const golden = goldenModel('tiny-bert');
  const paths = (await golden.list()).filter((path) => !/^(modules\.json|\d_|expected)/.test(path));
  const files = await Promise.all(paths.map(async (path) => [path, await golden.read(path)] as const));
  return memoryModel('bare', { ...Object.fromEntries(files), ...changes });
}

const changedEncoder = (change: (encoder: Encoder) => Partial<Encoder>): Backend => {
  const backend = plainBackend();
  return {
    ...backend,
    load: async (files, options) => {
      const encoder = await backend.load(files, options);
      const { hiddenSize, maxPositions, concurrency, batchTokens } = encoder;
      const encode: Encoder['encode'] = (batch) => encoder.encode(batch);
      const dispose: Encoder['dispose'] = () => encoder.dispose();
      return { hiddenSize, maxPositions, concurrency, batchTokens, encode, dispose, ...change(encoder) };
    },
  };
};

describe('loadEmbedder', () => {
  it('reports an assumed pooling as a warning and in each receipt', async () => {
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const embedder = await loadEmbedder(await bare(), { backend: plainBackend(), onWarning });
    expect(warnings).toEqual([expect.stringContaining('the pooling "mean" was assumed')]);
    expect((await embedder.embed('a')).receipt.notes).toEqual(warnings);
    expect(embedder.headSource).toBe('assumed');
  });

  it('prefers a sentence_embedding output of the ONNX file to the base model, but not to an option', async () => {
    const readme = card('base_model: org/nowhere\nlibrary_name: transformers.js');
    const pooled = (batch: TokenBatch): Float32Array => Float32Array.from({ length: batch.rows * 3 }, (_, i) => i % 3);
    const backend = changedEncoder(() => ({
      pooledOutput: { name: 'sentence_embedding', size: 3 },
      encodePooled: async (batch, head) =>
        head.pooling.graphOutput === 'sentence_embedding'
          ? { data: pooled(batch), rows: batch.rows, cols: 3 }
          : undefined,
    }));
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const embedder = await loadEmbedder(await bare({ 'README.md': readme }), { backend, onWarning });
    expect(embedder).toMatchObject({ headSource: 'graph', dimension: 3 });
    expect(warnings).toEqual([expect.stringContaining('the output "sentence_embedding" of its ONNX file')]);
    expect([...(await embedder.embed('a')).vector]).toEqual([0, 1, 2]);
    const withPooling = await loadEmbedder(await bare({ 'README.md': readme }), { backend, pooling: 'cls', onWarning });
    expect(withPooling).toMatchObject({ headSource: 'caller', dimension: 32 });
  });

  it('disposes the encoder when the folder is refused', async () => {
    let disposed = 0;
    const backend = changedEncoder(() => ({ dispose: async () => void (disposed += 1) }));
    const model = await bare({ 'README.md': card('pipeline_tag: sentence-similarity') });
    await expect(loadEmbedder(model, { backend })).rejects.toMatchObject({ code: 'unsupported-model' });
    expect(disposed).toBe(1);
  });

  it('refuses token vectors whose length differs from hidden_size, such as logits', async () => {
    const backend = changedEncoder(() => ({ hiddenSize: 959 }));
    for (const model of [await bare(), goldenModel('tiny-bert')]) {
      await expect(loadEmbedder(model, { backend, selfCheck: false, onWarning: () => {} })).rejects.toMatchObject({
        code: 'invalid-model',
        message: expect.stringMatching(/gives 959 numbers for a token, but config\.json says 32/),
      });
    }
  });

  it('reports an invalid setting of the folder as invalid-model and an invalid option as invalid-argument', async () => {
    const withFiles = async (changes: Readonly<Record<string, object>>): Promise<ModelFiles> => {
      const golden = goldenModel('tiny-bert');
      const files = await Promise.all(
        (await golden.list()).map(async (path) => [path, await golden.read(path)] as const),
      );
      const json = Object.entries(changes).map(([path, value]) => [path, JSON.stringify(value)] as const);
      return memoryModel('m', Object.fromEntries([...files, ...json]));
    };
    const options = { backend: plainBackend() };
    const tooShort = await withFiles({ 'sentence_bert_config.json': { max_seq_length: 2 } });
    await expect(loadEmbedder(tooShort, options)).rejects.toMatchObject({ code: 'invalid-model' });
    const tooLong = await withFiles({ 'config_sentence_transformers.json': { truncate_dim: 1000 } });
    await expect(loadEmbedder(tooLong, options)).rejects.toMatchObject({ code: 'invalid-model' });
    await expect(loadEmbedder(goldenModel('tiny-bert'), { ...options, maxLength: 2 })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
  });
});

describe('token ids beyond the embedding matrix', () => {
  interface TokenizerFile {
    readonly added_tokens: readonly object[];
    readonly model: { readonly vocab: Readonly<Record<string, number>> };
  }
  const tokenizerWith = async (
    change: (tokenizer: TokenizerFile) => object,
    tokenizerClass = 'BertTokenizer',
  ): Promise<ModelFiles> => {
    const golden = goldenModel('tiny-bert');
    const files = await Promise.all(
      (await golden.list()).map(async (path) => [path, await golden.read(path)] as const),
    );
    const tokenizer = JSON.parse(new TextDecoder().decode(await golden.read('tokenizer.json'))) as TokenizerFile;
    return memoryModel('m', {
      ...Object.fromEntries(files),
      'tokenizer.json': JSON.stringify(change(tokenizer)),
      'tokenizer_config.json': JSON.stringify({ tokenizer_class: tokenizerClass }),
    });
  };
  const added = {
    content: '<image_soft_token>',
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  };

  it('of added tokens make texts that contain them invalid, but not the model', async () => {
    const model = await tokenizerWith(({ added_tokens: tokens, ...rest }) => ({
      ...rest,
      added_tokens: [...tokens, { id: 959, ...added }],
    }));
    const embedder = await loadEmbedder(model, { backend: plainBackend() });
    const { cases } = goldenExpectation('tiny-bert');
    const { vector } = await embedder.embed(cases[0]!.text);
    for (const [index, value] of vector.entries()) expect(value).toBeCloseTo(cases[0]!.embedding[index]!, 5);
    await expect(embedder.embed(['a', 'b', 'see <image_soft_token>'])).rejects.toMatchObject({
      code: 'invalid-text',
      message: expect.stringContaining('<image_soft_token>'),
      details: { row: 2 },
    });
  });

  it('of special tokens of every text, or of the vocabulary, make the model invalid', async () => {
    const processor = { type: 'BertProcessing', cls: ['[CLS]', 70_000], sep: ['[SEP]', 3] };
    const framed = await tokenizerWith(
      (tokenizer) => ({ ...tokenizer, post_processor: processor }),
      // Other tokenizer classes replace this post-processor by their own.
      'PreTrainedTokenizerFast',
    );
    await expect(loadEmbedder(framed, { backend: plainBackend() })).rejects.toMatchObject({ code: 'invalid-model' });
    const larger = await tokenizerWith(({ model, ...rest }) => {
      return { ...rest, model: { ...model, vocab: { ...model.vocab, zzzz: 959 } } };
    });
    await expect(loadEmbedder(larger, { backend: plainBackend() })).rejects.toMatchObject({ code: 'invalid-model' });
  });
});
