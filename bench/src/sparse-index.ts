// Builds an inverted index of sparse vectors in a folder, and measures its memory and the query time.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { SparseVector } from '@sentvec/core';
import { openSparseIndex, writeSparseIndex } from '@sentvec/core/node';
import { uniform } from './random-numbers.ts';
import { printReport } from './report.ts';
import { quantile } from './rounds.ts';

const usage = `pnpm bench sparse-index [--documents N] [--json]

Builds an inverted index of random sparse vectors in a folder and searches it. Prints memory and the time of a query.
--documents  default 1,000,000
--json       print JSON
`;

const { values } = parseArgs({
  options: {
    documents: { type: 'string', default: '1000000' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit();
}
const documents = Number(values.documents);
const [terms, entriesOfDocument, entriesOfQuery, queries] = [30_522, 120, 30, 50];
const next = uniform(1);

/** Returns a vector whose terms are distributed as unevenly as those of SPLADE: a few terms occur in most documents. */
function randomVector(entries: number): SparseVector {
  const weights = new Map<number, number>();
  while (weights.size < entries) {
    const term = Math.floor(Math.exp(next() * Math.log(terms))) + Math.floor(next() * 200);
    weights.set(Math.min(term, terms - 1), next() * 2.5);
  }
  const indices = Int32Array.from(weights.keys()).sort();
  return { indices, values: Float32Array.from(indices, (index) => weights.get(index)!) };
}

function* vectors(): Generator<SparseVector> {
  for (let row = 0; row < documents; row += 1) yield randomVector(entriesOfDocument);
}

const megabytes = (): number => Math.round(process.memoryUsage().rss / 2 ** 20);
const folder = await mkdtemp(join(tmpdir(), 'sentvec-bench-'));
try {
  let peak = 0;
  const timer = setInterval(() => (peak = Math.max(peak, megabytes())), 20);
  const started = performance.now();
  await writeSparseIndex(join(folder, 'index'), vectors());
  clearInterval(timer);
  const seconds = (performance.now() - started) / 1000;
  const index = await openSparseIndex(join(folder, 'index'));
  const times: number[] = [];
  for (let query = 0; query < 2 * queries; query += 1) {
    const vector = randomVector(entriesOfQuery);
    const startedAt = performance.now();
    await index.search(vector, { topK: 10 });
    // The first half of the queries is not counted, because it reads the files from disk.
    if (query >= queries) times.push(performance.now() - startedAt);
  }
  const [p50, p95] = [quantile(times, 0.5), quantile(times, 0.95)];
  const results = { documents: index.documents, postings: index.postings, seconds, peak, p50, p95, open: megabytes() };
  const table = {
    header: ['documents', 'entries', 'built in, s', 'at most, MB', 'p50, ms', 'p95, ms', 'open, MB'],
    rows: [
      [
        String(index.documents),
        String(index.postings),
        seconds.toFixed(0),
        String(peak),
        p50.toFixed(1),
        p95.toFixed(1),
        String(results.open),
      ],
    ],
  };
  const method = `${queries} queries of ${entriesOfQuery} terms; building includes making the random numbers`;
  printReport({ method, tables: [table], results }, values.json);
} finally {
  await rm(folder, { recursive: true, force: true });
}
