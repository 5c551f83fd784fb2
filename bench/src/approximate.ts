// Search in a folder of vectors, exact and by an approximate index: the time of a query, recall, the time to build.
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { buildApproximateIndex, embedCorpus, openIndex, type CorpusIndex } from '@sentvec/corpus';
import { readSynsets } from '@sentvec/example-wordnet';
import { useLite } from '@sentvec/model-use-lite';
import { printReport } from './report.ts';

const usage = `pnpm bench approximate [--rows N] [--json]

Embeds definitions of WordNet with the default model, and searches for examples of their use: exactly, and by an
approximate index.
--rows   default 80,000, of which there are about 117,000
--json   print JSON
`;

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '80000' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const queriesAsked = 200;

if (values.help) process.stdout.write(usage);
else await main(Number(values.rows));

async function main(rows: number): Promise<void> {
  const synsets = await readSynsets(['noun', 'verb', 'adj', 'adv']);
  const definitions = [...new Set(synsets.map(({ definition }) => definition))].slice(0, rows);
  const examples = [...new Set(synsets.flatMap((synset) => synset.examples))];
  const queries = examples.filter((_, place) => place % Math.floor(examples.length / queriesAsked) === 0);
  const folder = await mkdtemp(join(tmpdir(), 'sentvec-approximate-'));
  const embedder = await loadEmbedder(await useLite(), { backend: onnx() });
  try {
    const output = join(folder, 'vectors');
    await writeFile(join(folder, 'texts.jsonl'), definitions.map((text) => JSON.stringify({ text })).join('\n'));
    await embedCorpus({ inputs: [join(folder, 'texts.jsonl')], output }, embedder);
    const started = performance.now();
    const file = await buildApproximateIndex(output);
    const built = (performance.now() - started) / 1000;
    const options = { embedder, memory: Infinity };
    const exact = await timed(await openIndex(output, options), queries);
    const approximate = await timed(await openIndex(output, { ...options, approximate: true }), queries);
    const right = exact.found.map(
      (hits, query) => hits.filter((row) => approximate.found[query]!.includes(row)).length,
    );
    const recall = right.reduce((sum, count) => sum + count, 0) / exact.found.flat().length;
    const megabytes = (await stat(file)).size / 1e6;
    const table = {
      header: ['search', 'a query, p50', 'p95', 'the ten nearest found'],
      rows: [
        ['exact', ...exact.times, '1'],
        ['approximate', ...approximate.times, recall.toFixed(4)],
      ],
    };
    const method = `${definitions.length} vectors of ${embedder.dimension}, ${queries.length} queries, their embedding included; index built in ${built.toFixed(0)} s, ${megabytes.toFixed(0)} MB`;
    const results = {
      rows: definitions.length,
      recall,
      built,
      megabytes,
      exact: exact.times,
      approximate: approximate.times,
    };
    printReport({ method, tables: [table], results }, values.json);
  } finally {
    await embedder.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The rows that each query finds, and the times. The first query, which reads the shards, is asked once before. */
async function timed(
  index: CorpusIndex,
  queries: readonly string[],
): Promise<{ readonly found: number[][]; readonly times: string[] }> {
  const found: number[][] = [];
  const times: number[] = [];
  for (const query of [...queries.slice(0, 1), ...queries]) {
    const started = performance.now();
    const hits = await index.search(query);
    times.push(performance.now() - started);
    found.push(hits.map(({ row }) => row));
  }
  const sorted = times.slice(1).sort((a, b) => a - b);
  const at = (share: number): string => `${sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(1)} ms`;
  return { found: found.slice(1), times: [at(0.5), at(0.95)] };
}
