/**
 * Measures late interaction: the time to rank the token vectors of a thousand documents for a query, and the loss of
 * quality when these vectors are pooled by clustering or quantized. npm has no trained late-interaction model, so the
 * quality is measured with the token vectors of the default model: the queries are fragments of passages of Moby Dick,
 * and the relevant document is the passage.
 */
import { parseArgs } from 'node:util';
import {
  createMultiVectorEmbedder,
  joinMatrices,
  matrixOfText,
  maxSimilarityScores,
  poolTokens,
  quantizeTokens,
  semanticSearch,
  tokenPooling,
  type DocumentVectors,
  type Matrix,
  type MultiVectors,
} from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '@sentvec/backend-onnx';
import { passages } from './moby-dick.ts';
import { randomNumbers, uniform } from './random-numbers.ts';
import { printReport } from './report.ts';
import { median, timeInTurns, roundsOf } from './rounds.ts';

const usage = `pnpm bench late-interaction [--rounds N] [--no-quality] [--json]

Ranks 1,000 documents of 128 tokens by a query of 32, 128 entries a vector, on one core; then finds passages by fragments.
--rounds      rounds that count; default 9
--no-quality  speed alone
--json        print JSON
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    quality: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
  allowNegative: true,
});

if (values.help) process.stdout.write(usage);
else await main(roundsOf(values.rounds));

async function main(rounds: number): Promise<void> {
  const speed = await measureSpeed(rounds);
  const quality = values.quality ? await measureQuality() : [];
  const tables = [
    {
      header: ['1,000 × 128 tokens', 'milliseconds', 'MB'],
      rows: speed.map(({ name, milliseconds, megabytes }) => [name, milliseconds.toFixed(1), megabytes.toFixed(1)]),
    },
    {
      header: ['Moby Dick', 'found first', 'MRR@10', 'MB'],
      rows: quality.map(({ name, first, reciprocalRank, megabytes }) => [
        name,
        first.toFixed(3),
        reciprocalRank.toFixed(3),
        megabytes.toFixed(1),
      ]),
    },
  ].filter(({ rows }) => rows.length > 0);
  printReport({ method: `medians of ${rounds} rounds`, tables, results: { speed, quality } }, values.json);
}

async function measureSpeed(rounds: number) {
  const [texts, tokens, cols] = [1000, 128, 128];
  const next = uniform(1);
  const matrix = (rows: number): Matrix => ({ data: randomNumbers(rows * cols, cols ** -0.5, next), rows, cols });
  const query = matrix(32);
  const exact = joinMatrices(Array.from({ length: texts }, () => matrix(tokens)));
  const documents: readonly (readonly [string, DocumentVectors])[] = [
    ['float32', exact],
    ['int8', quantizeTokens(exact, 'int8')],
    ['binary', quantizeTokens(exact, 'binary')],
  ];
  const timings = await timeInTurns(
    documents.map(([name, vectors]) => ({ name, run: async () => void (await maxSimilarityScores(query, vectors)) })),
    rounds,
  );
  return documents.map(([name, vectors]) => ({
    name,
    milliseconds: median(timings.get(name)!),
    megabytes: bytesOf(vectors) / 1e6,
  }));
}

async function measureQuality() {
  const documents = passages(70, 110).filter((_, index) => index % 4 === 0);
  const asked = documents.map((_, index) => index).filter((index) => index % 2 === 0);
  // The query consists of every fifth of thirty words, like a half-remembered sentence.
  const fragments = asked.map((index) => {
    const words = documents[index]!.split(' ');
    return words
      .slice(words.length >> 2, (words.length >> 2) + 30)
      .filter((_, word) => word % 5 === 0)
      .join(' ');
  });
  await using embedder = await loadEmbedder('use-lite', { backend: onnx() });
  const { model, tokenizer, encoder, maxLength } = embedder;
  const head = { pooling: tokenPooling(), projections: [{ kind: 'normalize' } as const] };
  const late = createMultiVectorEmbedder({ model, tokenizer, encoder, head, maxLength });
  const queries = (await late.embedQuery(fragments)).vectors;
  const exact = (await late.embedDocuments(documents)).vectors;
  const pooled = (factor: number): MultiVectors =>
    joinMatrices(documents.map((_, text) => poolTokens(matrixOfText(exact, text), { factor, protectedTokens: 0 })));
  const [half, third, quarter] = [pooled(2), pooled(3), pooled(4)];
  const candidates: readonly (readonly [string, DocumentVectors])[] = [
    ['token vectors, float32', exact],
    ['pooled by 2', half],
    ['pooled by 3', third],
    ['pooled by 4', quarter],
    ['int8', quantizeTokens(exact, 'int8')],
    ['binary', quantizeTokens(exact, 'binary')],
    ['pooled by 2, int8', quantizeTokens(half, 'int8')],
    ['pooled by 2, binary', quantizeTokens(half, 'binary')],
  ];
  const results: { name: string; first: number; reciprocalRank: number; megabytes: number }[] = [];
  const report = (name: string, ranks: readonly number[], bytes: number): void => {
    const shares = ranks.map((rank) => (rank < 10 ? 1 / (rank + 1) : 0));
    const mean = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
    results.push({
      name,
      first: mean(ranks.map((rank) => (rank === 0 ? 1 : 0))),
      reciprocalRank: mean(shares),
      megabytes: bytes / 1e6,
    });
  };
  const [dense, denseQueries] = [(await embedder.embed(documents)).vectors, (await embedder.embed(fragments)).vectors];
  const hits = await semanticSearch(denseQueries, dense, { topK: 10 });
  report(
    'one vector a text',
    hits.map((each, at) => each.findIndex(({ row }) => row === asked[at])).map((rank) => (rank === -1 ? 10 : rank)),
    dense.data.byteLength,
  );
  for (const [name, vectors] of candidates) {
    const ranks: number[] = [];
    for (const [at, index] of asked.entries()) {
      const scores = await maxSimilarityScores(matrixOfText(queries, at), vectors);
      ranks.push(scores.reduce((rank, score) => (score > scores[index]! ? rank + 1 : rank), 0));
    }
    report(name, ranks, bytesOf(vectors));
  }
  return results;
}

function bytesOf(vectors: DocumentVectors): number {
  const scales = 'scales' in vectors ? (vectors.scales?.byteLength ?? 0) : 0;
  return vectors.data.byteLength + scales;
}
