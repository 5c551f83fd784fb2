import { cp } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { goldenExpectation, goldenPath, type GoldenPairs } from '@sentvec/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { Workplace } from './sentvec.ts';

const place = new Workplace();
const sts = fileURLToPath(new URL('../../../../shared/data/stsb/stsb-en-dev.csv', import.meta.url));

describe('similarity', () => {
  const texts = ['A cat sleeps.', 'A kitten naps.', 'Interest rates rose.'];

  it('prints a readable matrix', async () => {
    const lines = (await place.succeed(['similarity', ...texts])).trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[1]).toMatch(/^1 {2}1\.0000 {2}0\.\d{4} {2}.*A cat sleeps\.$/);
  });

  it('prints JSON with --json, for the selected similarity function', async () => {
    const cosine = JSON.parse(await place.succeed(['similarity', ...texts, '--json']));
    const euclidean = JSON.parse(await place.succeed(['similarity', ...texts, '--json', '--function', 'euclidean']));
    expect(cosine).toMatchObject({ model: 'use-lite', similarity: 'cosine', texts });
    expect(cosine.matrix[0][1]).toBeGreaterThan(cosine.matrix[0][2]);
    // For vectors of length 1, |a - b|² = 2 - 2 cos.
    expect(euclidean.matrix[0][2] ** 2).toBeCloseTo(2 - 2 * cosine.matrix[0][2], 5);
  });
});

describe('rerank', () => {
  const reranker = goldenPath('models/rerank-bert-1-label');
  const { rank } = goldenExpectation('rerank-bert-1-label') as unknown as GoldenPairs;
  const { query, documents, results } = rank!;

  it('prints the best documents of a file, and all scores with --json', async () => {
    await place.writeRows(
      'documents.jsonl',
      documents.map((text) => ({ text })),
    );
    const words = ['rerank', reranker, 'documents.jsonl', '--query', query];
    const { hits } = JSON.parse(await place.succeed([...words, '-k', '3', '--json']));
    expect(hits.map(({ row }: { row: number }) => row)).toEqual(results.slice(0, 3).map((each) => each.corpus_id));
    expect(hits[0].score).toBeCloseTo(results[0]!.score, 4);
    const lines = (await place.succeed(words)).trimEnd().split('\n');
    expect(lines[1]).toContain(documents[results[0]!.corpus_id]!.slice(0, 30));
  });

  it('reads plain text like the other commands, and names file and row', async () => {
    await place.write('one.txt', `\uFEFF${documents[0]}\n\n\n${documents[1]}\n`);
    await place.write('two.txt', `\n${documents[2]}\n`);
    const words = ['rerank', reranker, 'one.txt', 'two.txt', '--query', query];
    const { hits } = JSON.parse(await place.succeed([...words, '--json'])) as { hits: { document: string }[] };
    expect(hits.sort((a, b) => documents.indexOf(a.document) - documents.indexOf(b.document))).toMatchObject([
      { file: 'one.txt', row: 0, document: documents[0] },
      { file: 'one.txt', row: 3, document: documents[1] },
      { file: 'two.txt', row: 1, document: documents[2] },
    ]);
    await place.write('latin.txt', Buffer.from('first\ns\u00e9cond\n', 'latin1'));
    const { code, stderr } = await place.run(['rerank', reranker, 'latin.txt', '--query', query]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/latin\.txt, row 1 \(line 2\).*UTF-8/u);
  });

  it('sentvec info shows the labels and the activation of the model', async () => {
    const facts = JSON.parse(await place.succeed(['info', reranker, '--json']));
    expect(facts).toMatchObject({ kind: 'reranker', labels: ['LABEL_0'], activation: 'Sigmoid', modelType: 'bert' });
  });
});

describe('search', () => {
  const rows = [
    { id: 'cat', text: 'A cat sleeps in the sun.' },
    { id: 'rates', text: 'The central bank raised interest rates.' },
    { id: 'match', text: 'The football match ended in a draw.' },
    { id: 'rain', text: 'Heavy rain is expected tomorrow.' },
  ];

  beforeAll(async () => {
    await place.writeRows('rows.jsonl', rows);
    await place.succeed(['embed', 'rows.jsonl', '--id', 'id', '--output', 'vectors', '--shard-rows', '3']);
  });

  it('prints a ranked table with the texts', async () => {
    const lines = (await place.succeed(['search', 'vectors', 'a kitten is napping', '-k', '2'])).trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/^1 {2}0\.\d{4} {2}cat\s+A cat sleeps in the sun\.$/);
  });

  it('prints ids, scores and texts as JSON', async () => {
    const { hits } = JSON.parse(await place.succeed(['search', 'vectors', 'what will the weather be like?', '--json']));
    expect(hits[0]).toMatchObject({ rank: 1, id: 'rain', text: rows[3]!.text });
    const scores = hits.map(({ score }: { score: number }) => score);
    expect(scores).toEqual(scores.toSorted((a: number, b: number) => b - a));
    expect(hits).toHaveLength(4);
  });

  it('also searches by words with --hybrid', async () => {
    const { hits } = JSON.parse(await place.succeed(['search', 'vectors', 'a draw', '--hybrid', '--json']));
    const scored = Object.fromEntries(hits.map(({ id, scores }: { id: string; scores: object }) => [id, scores]));
    expect(scored).toEqual({
      cat: { meaning: expect.any(Number), words: expect.any(Number) },
      match: { meaning: expect.any(Number), words: expect.any(Number) },
      rates: { meaning: expect.any(Number) },
      rain: { meaning: expect.any(Number) },
    });
    expect(scored['match'].words).toBeGreaterThan(scored['cat'].words);
    expect(hits[0]).toMatchObject({ id: 'match', rank: 1 });
  });

  it('reorders rows with a reranker with --rerank', async () => {
    const model = goldenPath('models/rerank-bert-1-label');
    const query = 'a draw';
    const texts = rows.map(({ text }) => text);
    await place.write('texts.txt', texts.join('\n'));
    const { hits: ranked } = JSON.parse(
      await place.succeed(['rerank', model, 'texts.txt', '--query', query, '--json']),
    );
    const found = await place.succeed(['search', 'vectors', query, '--hybrid', '--rerank', model, '--json']);
    const { hits } = JSON.parse(found);
    expect(hits.map(({ text }: { text: string }) => text)).toEqual(
      ranked.map(({ document }: { document: string }) => document),
    );
    for (const { score, scores } of hits)
      expect(scores).toMatchObject({ meaning: expect.any(Number), reranker: score });
    const missing = await place.run(['search', 'vectors', query, '--rerank', './nowhere']);
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('--rerank')]);
  });

  it.each(['int8', 'uint8', 'binary', 'ubinary'])('returns the same results for %s', async (precision) => {
    await place.succeed([
      'embed',
      'rows.jsonl',
      '--id',
      'id',
      '--precision',
      precision,
      '--output',
      `vectors-${precision}`,
    ]);
    const { hits } = JSON.parse(
      await place.succeed(['search', `vectors-${precision}`, 'economy and money', '-k', '1', '--json']),
    );
    expect(hits).toMatchObject([{ id: 'rates' }]);
  });

  it('embeds long rows in pieces, and returns each row with its best piece', async () => {
    const filler = 'The committee met again on Tuesday to talk about the minutes of its last meeting. ';
    const text = `${filler.repeat(3)}A kitten naps on the warm sofa. ${filler.repeat(3)}Two cats sleep in the sun.`;
    await place.writeRows('long.jsonl', [{ id: 'long', text }, ...rows]);
    const chunked = ['embed', 'long.jsonl', '--id', 'id', '--chunk', '24', '--overlap', '4', '--output', 'pieces'];
    expect(await place.succeed(chunked)).toMatch(/pieces: \d+ vectors of 5 rows/);
    const find = async (...flags: string[]) =>
      JSON.parse(await place.succeed(['search', 'pieces', 'a kitten is napping', '--json', '-k', '3', ...flags])).hits;
    const best = await find();
    expect(best.map(({ id }: { id: string }) => id)).toEqual(['long', 'cat', expect.any(String)]);
    const { start, end } = best[0].piece;
    expect(text.slice(start, end)).toBe(best[0].text);
    expect(best[0].text).toContain('kitten');
    expect((await find('--pieces')).filter(({ id }: { id: string }) => id === 'long').length).toBeGreaterThan(1);
    expect(await place.succeed(['search', 'pieces', 'a kitten is napping', '-k', '1'])).toContain(`${start}–${end}`);
    const { code, stderr } = await place.run(['embed', 'long.jsonl', '--overlap', '4', '--output', 'none']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('--overlap needs --chunk')]);
  });

  it('refuses a model of another vector space, and names the difference', async () => {
    const { code, stdout, stderr } = await place.run([
      'search',
      'vectors',
      'x',
      '--model',
      goldenPath('models/tiny-bert'),
    ]);
    expect(stderr).toMatch(/vectors has vectors of another space.*weights, tokenizer/);
    expect([code, stdout]).toEqual([1, '']);
  });

  it('explains how to specify a model that has moved', async () => {
    await cp(goldenPath('models/tiny-bert'), place.path('model'), { recursive: true });
    await place.succeed(['embed', 'rows.jsonl', '--model', './model', '--output', 'moved']);
    await cp(place.path('model'), place.path('elsewhere'), { recursive: true });
    const { rm } = await import('node:fs/promises');
    await rm(place.path('model'), { recursive: true });
    const { code, stderr } = await place.run(['search', 'moved', 'x']);
    expect(stderr).toMatch(/\.\/model.*--model/);
    expect(code).toBe(1);
    await place.succeed(['search', 'moved', 'x', '--model', './elsewhere']);
  });

  it('explains how to create a folder of vectors if there is none', async () => {
    const { code, stderr } = await place.run(['search', '.', 'x']);
    expect(stderr).toMatch(/sentvec embed/);
    expect(code).toBe(1);
  });
});

describe('evaluate sts', () => {
  const pairs = [
    ['A cat sleeps.', 'A cat is asleep.', 5],
    ['A cat sleeps.', 'A dog sleeps.', 2.5],
    ['A cat sleeps.', 'Interest rates rose.', 0],
  ] as const;

  it.each<[string, string, string[]]>([
    ['CSV without a header', pairs.map(([a, b, score]) => `"${a}","${b}",${score}\n`).join(''), []],
    [
      'CSV with a header',
      `score,one,two\n${pairs.map(([a, b, score]) => `${score},"${a}","${b}"\n`).join('')}`,
      ['--columns', 'one,two,score'],
    ],
    [
      'JSON lines',
      pairs.map(([a, b, score]) => `${JSON.stringify({ sentence1: a, sentence2: b, score })}\n`).join(''),
      [],
    ],
  ])('reads %s', async (name, content, flags) => {
    const file = await place.write(name.startsWith('CSV') ? 'pairs.csv' : 'pairs.jsonl', content);
    const metrics = JSON.parse(await place.succeed(['evaluate', 'sts', file, ...flags, '--json']));
    expect(metrics).toMatchObject({ pairs: 3, spearman_cosine: expect.closeTo(1, 9) });
    expect(metrics.pearson_cosine).toBeGreaterThan(0.9);
  });

  it('names the file and row of an invalid score', async () => {
    const file = await place.write('bad.csv', 'a,b,1\nc,d,much\n');
    const { code, stderr } = await place.run(['evaluate', 'sts', file]);
    expect(stderr).toMatch(/bad\.csv, row 1 \(line 2\): The label in "2" is "much", not a number/);
    expect(code).toBe(1);
  });

  it.skipIf(!existsSync(sts))(
    'agrees with people on STS-B dev (skipped where ../shared/data is absent: the data may not be copied here)',
    async () => {
      const metrics = JSON.parse(await place.succeed(['evaluate', 'sts', sts, '--json']));
      expect(metrics.spearman_cosine).toBeGreaterThanOrEqual(0.783);
    },
  );
});

describe('info', () => {
  it('shows the four parts of the default model', async () => {
    const page = await place.succeed(['info']);
    for (const line of [
      /^model +use-lite/m,
      /^encoder +universal-sentence-encoder-lite, 512 wide/m,
      /^pooling +mean$/m,
      /^projection +dense 512 → 512 Tanh, normalize$/m,
      /^fingerprint +[0-9a-f]{64}$/m,
    ]) {
      expect(page).toMatch(line);
    }
  });

  it('shows the query and document settings of a late-interaction model', async () => {
    const facts = JSON.parse(await place.succeed(['info', goldenPath('models/late-pylate'), '--json']));
    expect(facts).toMatchObject({
      kind: 'multi-vector',
      maxLength: { query: 18, document: 44 },
      prompts: { query: '[Q] ', document: '[D] ' },
      dimension: 16,
      similarity: 'max',
    });
  });

  it('prints the prompts and dimension of a folder as JSON', async () => {
    const facts = JSON.parse(await place.succeed(['info', goldenPath('models/tiny-mpnet'), '--json']));
    const { dimension, similarity_fn_name: similarity, max_seq_length: maxLength } = goldenExpectation('tiny-mpnet');
    expect(facts).toMatchObject({
      dimension,
      similarity,
      tokenizer: { maxLength },
      pooling: { name: 'mean', includePrompt: false },
    });
    expect(Object.keys(facts.prompts)).toEqual(['query', 'document']);
  });
});

it('doctor reports that all requirements are met, and the speed of each backend', async () => {
  const { findings, backends } = JSON.parse(await place.succeed(['doctor', '--json']));
  const states = Object.fromEntries(
    findings.map(({ about, state }: { about: string; state: string }) => [about, state]),
  );
  expect(states).toMatchObject({
    node: 'ok',
    machine: 'ok',
    cache: 'ok',
    'backend onnx': 'ok',
    'backend tfjs': 'ok',
    'backend wasm': 'ok',
    'default model': 'ok',
    telemetry: 'ok',
  });
  const telemetry = findings.find(({ about }: { about: string }) => about === 'telemetry');
  expect(telemetry.says).toContain('sends no usage reports to Microsoft');
  expect(backends.map(({ backend }: { backend: string }) => backend)).toEqual(['onnx', 'tfjs', 'wasm', 'webgpu']);
  const [onnx, tfjs, wasm, webgpu] = backends;
  expect(onnx).toMatchObject({
    device: expect.stringMatching(/onnxruntime \d/),
    difference: expect.any(Number),
    sentencesPerSecond: expect.any(Number),
  });
  expect(tfjs).toMatchObject({
    device: expect.stringMatching(/TensorFlow\.js \d/),
    sentencesPerSecond: expect.any(Number),
  });
  expect(wasm).toMatchObject({ device: 'WebAssembly', sentencesPerSecond: expect.any(Number) });
  // Whether there is a WebGPU adapter depends on the machine.
  expect(webgpu.state === 'ok' || webgpu.reason.includes('@sentvec/backend-webgpu')).toBe(true);
});
