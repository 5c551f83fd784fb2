import { readFileSync } from 'node:fs';
import {
  communityDetection,
  embeddingSimilarity,
  informationRetrieval,
  pairwiseSimilarity,
  paraphraseMining,
  quantize,
  semanticSearch,
  similarity,
  similarityFunctions,
  truncateEmbeddings,
  type Matrix,
  type QuantizedMatrix,
  type SimilarityFunction,
} from '@sentvec/core';
import { goldenPath } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';

type Rows = readonly (readonly number[])[];

interface RetrievalGolden {
  readonly queries: Rows;
  readonly query_ids: readonly string[];
  readonly corpus: Rows;
  readonly corpus_ids: readonly string[];
  readonly relevant: Readonly<Record<string, readonly string[]>>;
  readonly metrics: Readonly<Record<string, number>>;
}

interface EvaluationGoldens {
  readonly similarity_matrices: {
    readonly a: Rows;
    readonly b: Rows;
    readonly similarity: Readonly<Record<SimilarityFunction, Rows>>;
  };
  readonly embedding_similarity: {
    readonly embeddings1: Rows;
    readonly embeddings2: Rows;
    readonly scores: readonly number[];
    readonly metrics: Readonly<Record<string, number>>;
  };
  readonly information_retrieval: RetrievalGolden;
  readonly information_retrieval_ties: RetrievalGolden;
  readonly semantic_search: {
    readonly queries: Rows;
    readonly corpus: Rows;
    readonly top_k: number;
    readonly results: Readonly<
      Partial<
        Record<SimilarityFunction, readonly (readonly { readonly corpus_id: number; readonly score: number }[])[]>
      >
    >;
  };
  readonly paraphrase_mining: {
    readonly embeddings: Rows;
    readonly runs: readonly {
      readonly top_k: number;
      readonly max_pairs: number;
      readonly total?: number;
      readonly pairs: readonly (readonly [score: number, first: number, second: number])[];
    }[];
  };
  readonly community_detection: {
    readonly embeddings: Rows;
    readonly runs: readonly {
      readonly threshold: number;
      readonly min_community_size: number;
      readonly communities: Rows;
    }[];
  };
  readonly quantization: {
    readonly embeddings: Rows;
    readonly ranges: Rows;
    readonly calibration: Rows;
    readonly results: Readonly<Record<'int8_ranges' | 'uint8_ranges' | 'int8_calibration' | 'int8_own', Rows>>;
    readonly binary: { readonly embeddings: Rows; readonly binary: Rows; readonly ubinary: Rows };
  };
  readonly truncation: {
    readonly embeddings: Rows;
    readonly runs: readonly { readonly dimension: number; readonly embeddings: Rows }[];
  };
}

const goldens = JSON.parse(readFileSync(goldenPath('evaluation.json'), 'utf8')) as EvaluationGoldens;
const tolerance = 1e-6;

function matrix(rows: Rows): Matrix {
  return { data: Float32Array.from(rows.flat()), rows: rows.length, cols: rows[0]!.length };
}

function rowsOf({ data, rows, cols }: Matrix | QuantizedMatrix): number[][] {
  return Array.from({ length: rows }, (_, row) => [...data.subarray(row * cols, (row + 1) * cols)]);
}

function largestDeviation(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  return Math.max(...Array.from(expected, (value, i) => Math.abs(actual[i]! - value)));
}

/** The largest deviation of values by name; Infinity when the names differ. */
function largestNamedDeviation(
  actual: Readonly<Record<string, number>>,
  expected: Readonly<Record<string, number>>,
): number {
  if (Object.keys(actual).sort().join() !== Object.keys(expected).sort().join()) return Infinity;
  return Math.max(...Object.entries(expected).map(([name, value]) => Math.abs(actual[name]! - value)));
}

describe('results of sentence-transformers', () => {
  it('include no golden value that is not tested here', () => {
    const tested = new Set([
      'source',
      'similarity_matrices',
      'embedding_similarity',
      'information_retrieval',
      'information_retrieval_ties',
      'semantic_search',
      'paraphrase_mining',
      'community_detection',
      'quantization',
      'truncation',
    ]);
    expect(Object.keys(goldens).filter((key) => !tested.has(key))).toEqual([]);
  });

  describe.each(similarityFunctions)('%s', (measure) => {
    const { a, b, similarity: expected } = goldens.similarity_matrices;

    it('as a matrix', () => {
      const result = similarity(matrix(a), matrix(b), measure);
      expect([result.rows, result.cols]).toEqual([a.length, b.length]);
      expect(largestDeviation(result.data, expected[measure].flat())).toBeLessThanOrEqual(tolerance);
    });

    it('in pairs', () => {
      const pairs = pairwiseSimilarity(matrix(a), matrix(b.slice(0, a.length)), measure);
      expect(
        largestDeviation(
          pairs,
          a.map((_, i) => expected[measure][i]![i]!),
        ),
      ).toBeLessThanOrEqual(tolerance);
    });

    it('in a search', async () => {
      const hits = await semanticSearch(matrix(a), matrix(b), { similarity: measure, topK: 99 });
      for (const [query, found] of hits.entries()) {
        const scores = expected[measure][query]!;
        const order = scores.map((_, row) => row).sort((x, y) => scores[y]! - scores[x]!);
        expect(found.map(({ row }) => row)).toEqual(order);
        expect(
          largestDeviation(
            found.map(({ score }) => score),
            order.map((row) => scores[row]!),
          ),
        ).toBeLessThanOrEqual(tolerance);
      }
    });
  });

  it('embedding similarity', () => {
    const { embeddings1, embeddings2, scores, metrics } = goldens.embedding_similarity;
    const result = embeddingSimilarity(matrix(embeddings1), matrix(embeddings2), scores);
    expect(largestNamedDeviation(result, metrics)).toBeLessThanOrEqual(tolerance);
  });

  it.each(['information_retrieval', 'information_retrieval_ties'] as const)('%s', async (name) => {
    const golden = goldens[name];
    const at = (metric: string): number[] => [
      ...new Set(
        Object.keys(golden.metrics).flatMap((key) => (key.includes(`_${metric}@`) ? [Number(key.split('@')[1])] : [])),
      ),
    ];
    const similarities = similarityFunctions.filter((measure) =>
      Object.keys(golden.metrics).some((key) => key.startsWith(measure)),
    );
    const result = await informationRetrieval(
      {
        queries: matrix(golden.queries),
        queryIds: golden.query_ids,
        corpus: matrix(golden.corpus),
        corpusIds: golden.corpus_ids,
        relevant: golden.relevant,
      },
      {
        similarities,
        accuracyAtK: at('accuracy'),
        precisionRecallAtK: at('precision'),
        ndcgAtK: at('ndcg'),
        mrrAtK: at('mrr'),
        mapAtK: at('map'),
      },
    );
    expect(largestNamedDeviation(result, golden.metrics)).toBeLessThanOrEqual(tolerance);
  });

  describe.each(Object.keys(goldens.semantic_search.results) as SimilarityFunction[])(
    'semantic search by %s',
    (measure) => {
      const { queries, corpus, top_k: topK, results } = goldens.semantic_search;
      const chunks = [{}, { queryChunkSize: 1, corpusChunkSize: 1 }, { queryChunkSize: 3, corpusChunkSize: 5 }];

      it.each(chunks)('with chunks %o', async (chunkSizes) => {
        const hits = await semanticSearch(matrix(queries), matrix(corpus), {
          topK,
          similarity: measure,
          ...chunkSizes,
        });
        const expected = results[measure]!;
        expect(hits.map((found) => found.map(({ row }) => row))).toEqual(
          expected.map((found) => found.map((hit) => hit.corpus_id)),
        );
        expect(
          largestDeviation(
            hits.flat().map(({ score }) => score),
            expected.flat().map(({ score }) => score),
          ),
        ).toBeLessThanOrEqual(tolerance);
      });
    },
  );

  it.each(goldens.paraphrase_mining.runs)('paraphrase mining, $top_k nearest, $max_pairs pairs', async (run) => {
    const pairs = await paraphraseMining(matrix(goldens.paraphrase_mining.embeddings), {
      topK: run.top_k,
      maxPairs: run.max_pairs,
    });
    expect(pairs).toHaveLength(run.total ?? run.pairs.length);
    const listed = pairs.slice(0, run.pairs.length);
    expect(listed.map(({ first, second }) => [first, second])).toEqual(
      run.pairs.map(([, first, second]) => [first, second]),
    );
    expect(
      largestDeviation(
        listed.map(({ score }) => score),
        run.pairs.map(([score]) => score),
      ),
    ).toBeLessThanOrEqual(tolerance);
  });

  it.each(goldens.community_detection.runs)(
    'communities with a threshold of $threshold and at least $min_community_size rows',
    async (run) => {
      const communities = await communityDetection(matrix(goldens.community_detection.embeddings), {
        threshold: run.threshold,
        minCommunitySize: run.min_community_size,
      });
      expect(communities).toEqual(run.communities);
    },
  );

  it('quantization to 8 bits', () => {
    const { embeddings, ranges, calibration, results } = goldens.quantization;
    const vectors = matrix(embeddings);
    expect(rowsOf(quantize(vectors, 'int8', { ranges: matrix(ranges) }))).toEqual(results.int8_ranges);
    expect(rowsOf(quantize(vectors, 'uint8', { ranges: matrix(ranges) }))).toEqual(results.uint8_ranges);
    expect(rowsOf(quantize(vectors, 'int8', { calibration: matrix(calibration) }))).toEqual(results.int8_calibration);
    expect(rowsOf(quantize(vectors, 'int8'))).toEqual(results.int8_own);
    expect(Object.keys(results)).toHaveLength(4);
  });

  it.each(['binary', 'ubinary'] as const)('quantization to bits: %s', (precision) => {
    expect(rowsOf(quantize(matrix(goldens.quantization.binary.embeddings), precision))).toEqual(
      goldens.quantization.binary[precision],
    );
  });

  it('bits are packed like numpy.packbits: the most significant bit first, the last byte padded with zeros', () => {
    const signs = '1011000101110010000010100111101001111111'.slice(0, 2 * 19);
    const vectors = { data: Float32Array.from(signs, (bit) => (bit === '1' ? 0.25 : -0.25)), rows: 2, cols: 19 };
    vectors.data[1] = 0; // Not above 0.
    const bytes = [0b10110001, 0b01110010, 0b00000000, 0b01010011, 0b11010011, 0b11100000];
    expect([...quantize(vectors, 'ubinary').data]).toEqual(bytes);
    expect([...quantize(vectors, 'binary').data]).toEqual(bytes.map((byte) => byte - 128));
  });

  it.each(goldens.truncation.runs)('truncation to $dimension entries', ({ dimension, embeddings }) => {
    const truncated = truncateEmbeddings(matrix(goldens.truncation.embeddings), dimension, { normalize: true });
    expect([truncated.rows, truncated.cols]).toEqual([embeddings.length, dimension]);
    expect(largestDeviation(truncated.data, embeddings.flat())).toBeLessThanOrEqual(tolerance);
  });
});
