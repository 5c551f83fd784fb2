// Late-interaction models: the settings of their folders for queries and documents, MaxSim scores, and token pooling.
import { readFileSync } from 'node:fs';
import {
  applyProjections,
  joinMatrices,
  loadMultiVectorEmbedder,
  matrixOfText,
  maxSimilarity,
  maxSimilarityScores,
  memoryModel,
  poolTokens,
  quantizeTokens,
  searchByMaxSimilarity,
  SentvecError,
  type Matrix,
  type ModelFiles,
  type MultiVectorEmbedder,
  type TokenBatch,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import {
  goldenExpectation,
  goldenModel,
  goldenMultiVectorNames,
  goldenPath,
  type GoldenMultiVectors,
} from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { fakeEncoder } from './fake-parts.ts';

const golden = (name: string) => goldenExpectation(name) as unknown as GoldenMultiVectors;

/** The embedder of a folder with a fake encoder, which records its batches and returns ones. */
async function scripted(
  model: ModelFiles,
  options: Parameters<typeof loadMultiVectorEmbedder>[1] = {},
): Promise<{ embedder: MultiVectorEmbedder; batches: TokenBatch[] }> {
  const hiddenSize = JSON.parse(new TextDecoder().decode(await model.read('config.json'))).hidden_size as number;
  const batches: TokenBatch[] = [];
  const encoder = fakeEncoder({
    hiddenSize,
    maxPositions: 256,
    encode: async (batch) => {
      batches.push(batch);
      const rows = batch.rows * batch.cols;
      return { data: new Float32Array(rows * hiddenSize).fill(1), rows, cols: hiddenSize };
    },
  });
  const backend = {
    specificationVersion: 1 as const,
    name: 'scripted',
    isAvailable: async () => ({ available: true as const, device: 'none' }),
    load: async () => encoder,
  };
  return { embedder: await loadMultiVectorEmbedder(model, { backend, selfCheck: false, ...options }), batches };
}

/** A golden model whose JSON files are merged with `changes`: an array replaces a file, `undefined` removes it. */
async function changed(name: string, changes: Record<string, object | undefined>): Promise<ModelFiles> {
  const model = goldenModel(name);
  const listed = await model.list();
  const files: Record<string, Uint8Array | string> = {};
  for (const path of new Set([...listed, ...Object.keys(changes)])) {
    const own = changes[path];
    if (path === 'expected.json' || (path in changes && own === undefined)) continue;
    const bytes = listed.includes(path) ? await model.read(path) : new TextEncoder().encode('{}');
    const before = (): object => JSON.parse(new TextDecoder().decode(bytes)) as object;
    files[path] = own === undefined ? bytes : JSON.stringify(Array.isArray(own) ? own : { ...before(), ...own });
  }
  return memoryModel(name, files);
}

const modules = (...entries: (readonly [kind: string, path: string])[]): object[] =>
  entries.map(([kind, path]) => ({ type: `a.${kind}`, path }));

const refusal = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => new Error('no error'),
    (thrown: Error) => thrown,
  );
  return SentvecError.is(error) ? `${error.code}: ${error.message}` : String(error);
};

describe('tokenizes queries and documents with the settings of the folder', () => {
  it.each(
    goldenMultiVectorNames.flatMap((name) => [
      [name, 'in JavaScript', undefined] as const,
      [name, 'native', nodeTokenizer('native')] as const,
    ]),
  )('%s, tokenizer %s: ids, mask and rows', async (name, _, tokenizer) => {
    const { embedder, batches } = await scripted(goldenModel(name), { tokenizer });
    for (const { kind, text, ids, attention_mask: mask, rows } of golden(name).cases) {
      const embed = kind === 'query' ? embedder.embedQuery([text]) : embedder.embedDocuments([text]);
      const { vectors, receipt } = await embed;
      expect(receipt.prompt ?? '').toBe(embedder.prompts[kind] ?? '');
      const batch = batches.pop()!;
      const found = { text, ids: [...batch.ids], mask: [...batch.mask], rows: vectors.offsets[1] };
      expect(found).toEqual({ text, ids, mask, rows });
    }
    await embedder.dispose();
  });

  const sample = 'what is the capital of France?';

  it('supports query expansion of the strategies "fixed" and "min", with attention, and none', async () => {
    const expand = (query_expansion: object | null) =>
      changed('late-bert', { 'sentence_bert_config.json': { query_expansion } });
    const long = `${sample} ${sample}`;
    const attending = await scripted(await expand({ strategy: 'fixed', attend: true, token: null, length: 24 }));
    await attending.embedder.embedQuery('hello');
    expect([...attending.batches[0]!.mask]).toEqual(Array.from({ length: 24 }, () => 1));
    expect(attending.batches[0]!.ids.at(-1)).toBe(6);
    const atLeast = await scripted(await expand({ strategy: 'min', attend: false, token: '[UNK]', length: 12 }));
    expect((await atLeast.embedder.embedQuery('hello')).matrix.rows).toBe(12);
    expect(atLeast.batches[0]!.ids.at(-1)).toBe(3);
    expect((await atLeast.embedder.embedQuery(long)).matrix.rows).toBeGreaterThan(20);
    const none = await scripted(await expand(null));
    expect((await none.embedder.embedQuery('hello')).matrix.rows).toBe(7);
  });

  it('reads the settings that older versions of PyLate saved', async () => {
    const file = 'config_sentence_transformers.json';
    const off = await scripted(await changed('late-pylate', { [file]: { do_query_expansion: false } }));
    expect((await off.embedder.embedQuery('hello')).matrix.rows).toBe(7);
    expect(off.embedder.maxLength).toEqual({ query: 18, document: 44 });
    const attending = await scripted(await changed('late-pylate', { [file]: { attend_to_expansion_tokens: true } }));
    await attending.embedder.embedQuery('hello');
    expect([...attending.batches[0]!.mask]).toEqual(Array.from({ length: 18 }, () => 1));
    const words = await scripted(await changed('late-pylate', { [file]: { skiplist_words: null, model_type: null } }));
    expect((await words.embedder.embedDocuments(['hello!'])).vectors.offsets[1]).toBe(7);
    const none = await scripted(await changed('late-pylate', { [file]: { skiplist_words: [] } }));
    expect((await none.embedder.embedDocuments(['hello!'])).vectors.offsets[1]).toBe(8);
  });

  it('ignores the Pooling module in folders of PyLate and refuses it in other folders', async () => {
    const list = modules(['Transformer', ''], ['Pooling', '1_Pooling'], ['Dense', '1_Dense']);
    const file = 'config_sentence_transformers.json';
    const old = await scripted(await changed('late-pylate', { [file]: { model_type: null }, 'modules.json': list }));
    expect((await old.embedder.embedQuery('hello')).matrix.rows).toBe(18);
    expect(await refusal(scripted(await changed('late-pylate', { 'modules.json': list })))).toMatch(/Pooling/u);
  });

  it('pools tokens with the settings of HierarchicalTokenPooling', async () => {
    const list = modules(['Transformer', ''], ['Dense', '1_Dense'], ['HierarchicalTokenPooling', '2_Pooling']);
    const rowsOf = async (config: object, role: 'query' | 'document' = 'document') => {
      const model = await changed('late-bert', { 'modules.json': list, '2_Pooling/config.json': config });
      const { embedder } = await scripted(model);
      if (role === 'query') return (await embedder.embedQuery('hello hello')).matrix.rows;
      return (await embedder.embedDocuments(['hello hello'])).vectors.offsets[1];
    };
    const [all, ofQuery] = [await rowsOf({}), await rowsOf({}, 'query')];
    expect(all).toBeGreaterThan(6);
    // The encoder gives every token the same vector: all but the protected ones become one.
    expect(await rowsOf({ pool_factor: 2 })).toBe(2);
    expect(await rowsOf({ pool_factor: 2, num_protected_tokens: 0 })).toBe(1);
    expect(await rowsOf({ pool_factor: 2, num_protected_tokens: 3 })).toBe(4);
    expect(await rowsOf({ pool_factor: 2 }, 'query')).toBe(ofQuery);
    expect(await rowsOf({ pool_factor: 2, tasks: ['query'] })).toBe(all);
    expect(await rowsOf({ pool_factor: 2, tasks: ['query'] }, 'query')).toBe(2);
    for (const number of [-1, 0.5])
      expect(await refusal(rowsOf({ num_protected_tokens: number }))).toMatch(
        /^invalid-model: "num_protected_tokens"/u,
      );
    expect(await refusal(rowsOf({ tasks: ['title'] }))).toMatch(/^invalid-model: "tasks"/u);
  });

  it('reads a Stanford checkpoint without artifact.metadata as ColBERTv2', async () => {
    const { embedder } = await scripted(await changed('late-stanford', { 'artifact.metadata': undefined }));
    expect(embedder.maxLength.query).toBe(32);
    expect(embedder.prompts).toEqual({ query: '[unused0] ', document: '[unused1] ' });
    expect((await embedder.embedQuery('hello')).receipt.notes.join()).toContain('artifact.metadata');
  });

  it('supports keep_only_token_ids, and skip words of queries with skiplist_tasks', async () => {
    const only = await changed('late-bert', {
      '2_MultiVectorMask/config.json': { keep_only_token_ids: [4], skiplist_tasks: ['query', 'document'] },
    });
    const { embedder } = await scripted(only);
    expect((await embedder.embedDocuments(['hello'])).vectors.offsets[1]).toBe(1);
    expect((await embedder.embedQuery('hello?')).matrix.rows).toBe(15);
  });

  it('uses the lengths of the caller and refuses lengths beyond the positions of the encoder', async () => {
    const { embedder } = await scripted(goldenModel('late-modernbert'), { queryLength: 12, documentLength: 20 });
    const { vectors, receipt } = await embedder.embedDocuments([sample, `${sample} ${sample}`]);
    expect([...vectors.offsets]).toEqual([0, 20, 40]);
    expect(receipt.truncated.map(({ row }) => row)).toEqual([0, 1]);
    expect(await refusal(scripted(goldenModel('late-bert'), { documentLength: 300 }))).toMatch(
      /^invalid-argument: A document would have 300 tokens, but the encoder of late-bert has positions for 256/u,
    );
    for (const length of [0, -1, 1.5, NaN, Infinity, 2])
      for (const name of ['queryLength', 'documentLength'])
        expect(await refusal(scripted(goldenModel('late-bert'), { [name]: length }))).toMatch(
          length === 2
            ? /^invalid-argument: A (?:query|document) would have 2 tokens.*no room/u
            : /^invalid-argument: \w+Length must be a/u,
        );
  });

  it('has another fingerprint for another query or document length', async () => {
    const prints = new Set<string>();
    for (const options of [{}, { documentLength: 20 }, { queryLength: 12 }])
      prints.add((await (await scripted(goldenModel('late-bert'), options)).embedder.fingerprint()).hash);
    expect(prints.size).toBe(3);
  });
});

describe('loadMultiVectorEmbedder() refuses', () => {
  it('an embedder, and names its loader', async () => {
    expect(await refusal(scripted(goldenModel('tiny-bert')))).toMatch(/^unsupported-model: .*loadEmbedder\(\)/u);
  });

  it('empty queries, documents that are not strings, and calls after dispose()', async () => {
    const { embedder } = await scripted(goldenModel('late-bert'));
    expect(await refusal(embedder.rank(' ', ['a']))).toMatch(/^invalid-text: The query is empty/u);
    expect(await refusal(embedder.embedDocuments(['a', 7 as never]))).toMatch(/^invalid-text: Row 1/u);
    await embedder.dispose();
    expect(await refusal(embedder.embedQuery('a'))).toMatch(/^disposed/u);
  });

  it('unsupported or inconsistent settings', async () => {
    const strategy = { 'sentence_bert_config.json': { query_expansion: { strategy: 'max', length: 8 } } };
    expect(await refusal(scripted(await changed('late-bert', strategy)))).toMatch(/^unsupported-model.*"max"/u);
    const left = { 'tokenizer_config.json': { padding_side: 'left' } };
    for (const name of ['late-bert', 'late-pylate', 'late-stanford'])
      expect(await refusal(scripted(await changed(name, left)))).toMatch(/^unsupported-model.*"padding_side"/u);
    const token = {
      'sentence_bert_config.json': { query_expansion: { strategy: 'fixed', length: 8, token: 'nowhere' } },
    };
    expect(await refusal(scripted(await changed('late-bert', token)))).toMatch(/^invalid-model.*"nowhere"/u);
    const dense = { '1_Dense/config.json': { in_features: 35 } };
    expect(await refusal(scripted(await changed('late-bert', dense)))).toMatch(/^invalid-model/u);
  });
});

/** A matrix of pseudorandom numbers between -1 and 1, the same for the same seed. */
function randomMatrix(rows: number, cols: number, seed: number): Matrix {
  let state = seed;
  const data = Float32Array.from({ length: rows * cols }, () => {
    state = (Math.imul(1_103_515_245, state) + 12_345) & 0x7fffffff;
    return state / 2 ** 30 - 1;
  });
  return { data, rows, cols };
}

describe('MaxSim', () => {
  const query = randomMatrix(7, 20, 1);
  const matrices = [33, 0, 1, 600, 512, 2].map((rows, seed) => randomMatrix(rows, 20, seed + 2));
  const documents = joinMatrices(matrices);

  it('gives the scores of maxSimilarity() for all documents and for candidates', async () => {
    const expected = matrices.map((document) => maxSimilarity(query, document));
    const scores = await maxSimilarityScores(query, documents);
    for (const [index, score] of expected.entries()) expect(scores[index]).toBeCloseTo(score, 4);
    expect(expected[1]).toBe(-1e9);
    const some = await maxSimilarityScores(query, documents, { candidates: [4, 0], similarity: 'mean-max' });
    expect([...some]).toEqual([scores[4]! / 7, scores[0]! / 7].map(Math.fround).map((each) => expect.closeTo(each, 5)));
  });

  it('finds the best documents, those with equal scores in the order of their rows', async () => {
    const hits = await searchByMaxSimilarity(query, joinMatrices([...matrices, ...matrices]), { topK: 4 });
    expect(hits.map(({ row }) => row)).toEqual([4, 10, 3, 9]);
    const some = await searchByMaxSimilarity(query, documents, { topK: 2, candidates: [5, 4, 0] });
    expect(some.map(({ row }) => row)).toEqual([4, 0]);
    // A document that is listed twice as a candidate is found once.
    const merged = await searchByMaxSimilarity(query, documents, { topK: 2, candidates: [4, 5, 4, 0] });
    expect(merged).toEqual(some);
  });

  it('refuses NaN, vectors of another length, and documents that do not exist', async () => {
    const broken = { ...documents, data: documents.data.slice() };
    broken.data[40 * 20] = NaN;
    expect(await refusal(maxSimilarityScores(query, broken))).toMatch(/^invalid-argument: The score of document 3/u);
    expect(await refusal(maxSimilarityScores(randomMatrix(2, 16, 1), documents))).toMatch(
      /^invalid-argument.*16 and 20/u,
    );
    expect(await refusal(maxSimilarityScores(query, documents, { candidates: [6] }))).toMatch(/no document 6/u);
    expect(() => matrixOfText(documents, -1)).toThrow('There is no text -1');
  });

  it.each([
    ['int8', 0.01, 20],
    ['binary', 0.35, 24],
  ] as const)('%s token vectors give nearly the same scores', async (precision, tolerance, cols) => {
    const unit = ({ data, rows }: Matrix): Matrix => applyProjections([{ kind: 'normalize' }], { data, rows, cols });
    const texts = [33, 0, 1, 600, 512, 2].map((rows, seed) => unit(randomMatrix(rows, cols, seed + 2)));
    const unitQuery = unit(randomMatrix(7, cols, 1));
    const exact = await maxSimilarityScores(unitQuery, joinMatrices(texts));
    const quantized = quantizeTokens(joinMatrices(texts), precision);
    const scores = await maxSimilarityScores(unitQuery, quantized);
    for (const [index, score] of exact.entries()) expect(Math.abs(scores[index]! - score) / 7).toBeLessThan(tolerance);
    expect(quantized.data.length).toBe(1148 * (precision === 'int8' ? cols : cols / 8));
  });

  it('binary scores are dot products of the int8 query with signs, also for lengths that are no multiple of 8', async () => {
    const [unitQuery, document] = [randomMatrix(3, 11, 5), randomMatrix(4, 11, 6)];
    const signs = { ...document, data: document.data.map((entry) => (entry > 0 ? 1 : -1) / Math.sqrt(11)) };
    const [score] = await maxSimilarityScores(unitQuery, quantizeTokens(joinMatrices([document]), 'binary'));
    expect(score).toBeCloseTo(maxSimilarity(unitQuery, signs), 1);
  });

  it('refuses to quantize NaN', () => {
    const broken = joinMatrices([{ data: Float32Array.of(1, 2, 3, NaN), rows: 2, cols: 2 }]);
    expect(() => quantizeTokens(broken, 'int8')).toThrow('Entry 1 of row 1 is not a finite number');
  });

  it('can be aborted', async () => {
    expect(await refusal(maxSimilarityScores(query, documents, { signal: AbortSignal.abort() }))).toMatch(/^aborted/u);
  });
});

describe('token pooling', () => {
  const { vectors, pooled } = JSON.parse(readFileSync(goldenPath('token-pooling.json'), 'utf8')) as {
    vectors: number[][];
    pooled: { factor: number; protectedTokens: number; vectors: number[][] }[];
  };
  const matrix = { data: Float32Array.from(vectors.flat()), rows: vectors.length, cols: 8 };

  it.each(pooled)(
    'gives the clusters of sentence-transformers for the factor $factor',
    ({ vectors: expected, ...options }) => {
      const found = poolTokens(matrix, options);
      expect(found.rows).toBe(expected.length);
      const rows = Array.from({ length: found.rows }, (_, row) => [...found.data.subarray(row * 8, row * 8 + 8)]);
      rows.sort((a, b) => a[0]! - b[0]!);
      for (const [row, values] of rows.entries())
        for (const [i, value] of values.entries()) expect(value).toBeCloseTo(expected[row]![i]!, 5);
      expect([...found.data.subarray(0, 8 * options.protectedTokens)]).toEqual([
        ...matrix.data.subarray(0, 8 * options.protectedTokens),
      ]);
    },
  );

  it('returns few tokens unchanged, merges equal distances together, and refuses NaN and a factor below 1', () => {
    expect(poolTokens({ data: matrix.data.subarray(0, 16), rows: 2, cols: 8 }, { factor: 4 }).rows).toBe(2);
    expect(poolTokens(matrix, { factor: 1 })).toBe(matrix);
    // Like scipy's fcluster, merges at an equal distance are made together.
    const same = { data: Float32Array.from({ length: 32 }, (_, i) => (i % 8 === 0 ? 1 : 0)), rows: 4, cols: 8 };
    expect(poolTokens(same, { factor: 2, protectedTokens: 0 }).rows).toBe(1);
    const broken = { ...matrix, data: matrix.data.slice() };
    broken.data[3 * matrix.cols + 1] = NaN;
    expect(() => poolTokens(broken, { factor: 2 })).toThrow('entry 1 of row 3 is NaN');
    expect(() => poolTokens(matrix, { factor: 0.5 })).toThrow('factor must be a whole number');
  });
});
