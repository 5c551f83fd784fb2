import {
  pairwiseSimilarity,
  quantize,
  searchQuantized,
  semanticSearch,
  similarity,
  similarityFunctions,
  type Matrix,
  type SearchHit,
} from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { portableScores } from '@sentvec/kernels';
import { scanScores } from '../src/search/score-scan.ts';
import { VectorScorer } from '../src/search/vector-scorer.ts';
import { randomMatrix } from './random-vectors.ts';

/** The expected hits, by a brute-force search. */
function searchByHand(
  queries: Matrix,
  corpus: Matrix,
  topK: number,
  measure: (typeof similarityFunctions)[number],
): SearchHit[][] {
  const scores = similarity(queries, corpus, measure);
  return Array.from({ length: queries.rows }, (_, query) =>
    Array.from({ length: corpus.rows }, (__, row) => ({ row, score: scores.data[query * corpus.rows + row]! }))
      .sort((a, b) => b.score - a.score || a.row - b.row)
      .slice(0, topK),
  );
}

function pieces(matrix: Matrix, rows: number): Matrix[] {
  return Array.from({ length: Math.ceil(matrix.rows / rows) }, (_, i) => {
    const [from, to] = [i * rows, Math.min((i + 1) * rows, matrix.rows)];
    return { data: matrix.data.subarray(from * matrix.cols, to * matrix.cols), rows: to - from, cols: matrix.cols };
  });
}

async function* asynchronous<T>(items: Iterable<T>): AsyncGenerator<T> {
  for (const item of items) yield await Promise.resolve(item);
}

describe('semanticSearch', () => {
  it.each(similarityFunctions)('finds the same rows as a brute-force search: %s', async (measure) => {
    const [queries, corpus] = [randomMatrix(13, 37, 1), randomMatrix(3001, 37, 2)];
    const hits = await semanticSearch(queries, corpus, {
      topK: 20,
      similarity: measure,
      queryChunkSize: 5,
      corpusChunkSize: 700,
    });
    const expected = searchByHand(queries, corpus, 20, measure);
    expect(hits.map((found) => found.map(({ row }) => row))).toEqual(
      expected.map((found) => found.map(({ row }) => row)),
    );
    for (const [i, { score }] of hits.flat().entries())
      expect(Math.abs(score - expected.flat()[i]!.score)).toBeLessThan(1e-5);
  });

  it('accepts the corpus in pieces of any size, in an array or an async iterable', async () => {
    const [queries, corpus] = [randomMatrix(3, 16, 3), randomMatrix(1000, 16, 4)];
    const whole = await semanticSearch(queries, corpus);
    for (const size of [1, 7, 999, 1000]) {
      expect(await semanticSearch(queries, pieces(corpus, size))).toEqual(whole);
      expect(await semanticSearch(queries, asynchronous(pieces(corpus, size)))).toEqual(whole);
    }
    const withEmpty = [{ data: new Float32Array(0), rows: 0, cols: 16 }, ...pieces(corpus, 300)];
    expect(await semanticSearch(queries, withEmpty)).toEqual(whole);
  });

  it('returns rows with equal scores in their order, also at the topK limit', async () => {
    const same = randomMatrix(1, 8, 5);
    const corpus: Matrix = {
      data: Float32Array.from({ length: 50 * 8 }, (_, i) => same.data[i % 8]!),
      rows: 50,
      cols: 8,
    };
    const [hits] = await semanticSearch(same, corpus, { topK: 7, corpusChunkSize: 3 });
    expect(hits!.map(({ row }) => row)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(new Set(hits!.map(({ score }) => score)).size).toBe(1);
  });

  it('computes the cosine of very short and very long vectors', async () => {
    const directions = randomMatrix(40, 24, 5);
    const lengths = [1, 1e-10, 1e10, 1e19, 1e20, 1e30, 3e37];
    const data = directions.data.map((value, i) => value * lengths[Math.floor(i / 24) % lengths.length]!);
    const vectors = { data, rows: 40, cols: 24 };
    const expected = similarity(directions, directions);
    for (const [query, hits] of (await semanticSearch(vectors, vectors, { topK: 40 })).entries()) {
      expect(hits).toHaveLength(40);
      for (const { row, score } of hits) expect(score).toBeCloseTo(expected.data[query * 40 + row]!, 5);
    }
    for (const [i, score] of similarity(vectors, vectors).data.entries())
      expect(score).toBeCloseTo(expected.data[i]!, 5);
  });

  it('gives a vector of zeros the cosine 0 and leaves out rows with a score of NaN', async () => {
    const corpus: Matrix = { data: Float32Array.of(0, 0, NaN, 1, 1, 0), rows: 3, cols: 2 };
    const [hits] = await semanticSearch({ data: Float32Array.of(2, 0), rows: 1, cols: 2 }, corpus);
    expect(hits).toEqual([
      { row: 2, score: 1 },
      { row: 0, score: 0 },
    ]);
  });

  it('yields to the event loop', async () => {
    const [queries, corpus] = [randomMatrix(64, 64, 6), randomMatrix(20_000, 64, 7)];
    let turns = 0;
    const count = (): void => {
      turns++;
      immediate = setImmediate(count);
    };
    let immediate = setImmediate(count);
    const start = performance.now();
    await semanticSearch(queries, corpus);
    clearImmediate(immediate);
    expect(turns).toBeGreaterThanOrEqual(Math.floor((performance.now() - start) / 100));
  });

  it('reports progress, stops when it is aborted, and closes its source', async () => {
    const [queries, corpus] = [randomMatrix(2, 8, 8), randomMatrix(1000, 8, 9)];
    const controller = new AbortController();
    const done: number[] = [];
    const onProgress = ({ rows }: { rows: number }): void => {
      done.push(rows);
      if (rows >= 600) controller.abort();
    };
    await expect(
      semanticSearch(queries, corpus, { corpusChunkSize: 300, onProgress, signal: controller.signal }),
    ).rejects.toMatchObject({
      code: 'aborted',
    });
    expect(done).toEqual([300, 600]);
    let closed = false;
    const source = (function* (): Generator<Matrix> {
      try {
        yield corpus;
      } finally {
        closed = true;
      }
    })();
    await expect(semanticSearch(queries, source, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
    await expect(
      semanticSearch(queries, source, { onProgress: () => controller.signal.throwIfAborted() }),
    ).rejects.toThrow('aborted');
    expect(closed).toBe(true);
  });

  it.each(similarityFunctions)('gives the same bits without WebAssembly: %s', async (measure) => {
    const [queries, corpus] = [randomMatrix(5, 21, 10), randomMatrix(300, 21, 11)];
    const [fast, portable] = await Promise.all(
      [undefined, portableScores].map(async (runtime) => {
        const scores: number[] = [];
        const scorer = new VectorScorer(queries, measure, 3, runtime);
        await scanScores(
          scorer,
          corpus,
          { queryChunkSize: 3 },
          ({ values, queryCount, rowCount }) => scores.push(...values.subarray(0, queryCount * rowCount)),
          () => {},
        );
        return scores;
      }),
    );
    expect(fast).toHaveLength(5 * 300);
    expect(fast).toEqual(portable);
  });

  const two = randomMatrix(2, 4, 12);
  const bad: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['vectors of different lengths', () => semanticSearch(two, randomMatrix(2, 5, 1))],
    [
      'vectors of different lengths in a later piece',
      () => semanticSearch(two, [randomMatrix(2, 4, 1), randomMatrix(2, 5, 1)]),
    ],
    ['no queries', () => semanticSearch({ data: new Float32Array(0), rows: 0, cols: 4 }, two)],
    ['no entries', () => semanticSearch({ data: new Float32Array(0), rows: 2, cols: 0 }, two)],
    ['no rows in the corpus', () => semanticSearch(two, { data: new Float32Array(0), rows: 0, cols: 4 })],
    ['an empty list of pieces', () => semanticSearch(two, [])],
    ['data that do not fill the matrix', () => semanticSearch(two, { data: new Float32Array(7), rows: 2, cols: 4 })],
    ['topK of 0', () => semanticSearch(two, two, { topK: 0 })],
    ['topK of 1.5', () => semanticSearch(two, two, { topK: 1.5 })],
    ['an unknown similarity', () => semanticSearch(two, two, { similarity: 'jaccard' as 'dot' })],
    ['queryChunkSize of 0', () => semanticSearch(two, two, { queryChunkSize: 0 })],
    ['corpusChunkSize of -1', () => semanticSearch(two, two, { corpusChunkSize: -1 })],
  ];
  it.each(bad)('refuses %s', async (_, search) => {
    await expect(search()).rejects.toMatchObject({ name: 'SentvecError', code: 'invalid-argument' });
  });
});

describe('similarity', () => {
  it('equals pairwiseSimilarity() for any number of rows', () => {
    for (const rows of [1, 2, 3, 4, 5, 9]) {
      const [a, b] = [randomMatrix(rows, 11, 1), randomMatrix(rows, 11, 2)];
      for (const measure of similarityFunctions) {
        const matrix = similarity(a, b, measure);
        const pairs = pairwiseSimilarity(a, b, measure);
        for (let i = 0; i < rows; i++) expect(Math.abs(matrix.data[i * rows + i]! - pairs[i]!)).toBeLessThan(1e-6);
      }
    }
  });

  const two = randomMatrix(2, 4, 3);
  const bad: readonly (readonly [string, () => unknown])[] = [
    ['vectors of different lengths', () => similarity(two, randomMatrix(2, 5, 1))],
    ['no rows', () => similarity(two, { data: new Float32Array(0), rows: 0, cols: 4 })],
    ['an unknown function', () => similarity(two, two, 'angle' as 'dot')],
    ['different numbers of rows in pairs', () => pairwiseSimilarity(two, randomMatrix(3, 4, 1))],
  ];
  it.each(bad)('refuses %s', (_, compare) => {
    expect(compare).toThrow(expect.objectContaining({ name: 'SentvecError', code: 'invalid-argument' }));
  });
});

describe('rows with the option "documents"', () => {
  const documents = [0, 0, 0, 1, 2, 2, 3, 3, 3, 3];
  const query = { data: Float32Array.of(1, 0), rows: 1, cols: 2 };
  const scores = [0.1, 0.9, 0.5, 0.3, 0.8, 0.85, 0.2, 0.2, 0.1, 0];
  const data = Float32Array.from(scores.flatMap((score) => [score, Math.sqrt(1 - score * score)]));
  const corpus = { data, rows: 10, cols: 2 };

  it('give one hit for each document: its best row', async () => {
    for (const topK of [1, 2, 3, 4, 9]) {
      const [hits] = await semanticSearch(query, corpus, { documents, topK });
      expect(hits!.map(({ row }) => row)).toEqual([1, 5, 3, 6].slice(0, topK));
    }
    // The result does not depend on pieces of the corpus and on the chunk size.
    const parts = [0, 4, 5, 7].map((start, index, starts) => {
      const end = starts[index + 1] ?? 10;
      return { data: data.subarray(start * 2, end * 2), rows: end - start, cols: 2 };
    });
    const [hits] = await semanticSearch(query, parts, { documents, topK: 3, corpusChunkSize: 1 });
    expect(hits!.map(({ row }) => row)).toEqual([1, 5, 3]);
  });

  it('give one hit for each document of a quantized corpus, whose rescoring candidates are documents too', async () => {
    for (const rescore of [true, false]) {
      const quantized = quantize(corpus, 'uint8');
      const [hits] = await searchQuantized(query, quantized, { documents, topK: 3, rescoreMultiplier: 1, rescore });
      expect(hits!.map(({ row }) => documents[row])).toEqual([0, 2, 1]);
    }
  });

  it('must be as many as the entries of "documents"', async () => {
    const call = semanticSearch(query, corpus, { documents: [0, 1] });
    await expect(call).rejects.toMatchObject({ code: 'invalid-argument', message: expect.stringContaining('10 rows') });
  });

  it('must be sorted by document', async () => {
    const call = semanticSearch(query, corpus, { documents: [...documents].toReversed() });
    await expect(call).rejects.toMatchObject({ code: 'invalid-argument', message: expect.stringContaining('ascend') });
  });
});
