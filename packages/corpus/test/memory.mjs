// Embeds a corpus of many rows and prints what memory that takes: node packages/corpus/test/memory.mjs [ROWS [FORMAT
// [DIMENSION]]] A stub takes the place of the model, so that all memory is that of the corpus: reading, splitting,
// writing, committing.
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { embedCorpus } from '@sentvec/corpus';
import { stubEmbedder } from './stub-embedder.mjs';

const rows = Number(process.argv[2] ?? 1_000_000);
const format = process.argv[3] ?? 'parquet';
const dimension = Number(process.argv[4] ?? 32);
const step = 50_000;

const folder = await mkdtemp(join(tmpdir(), 'sentvec-memory-'));
try {
  const input = join(folder, 'corpus.jsonl');
  await pipeline(Readable.from(lines()), createWriteStream(input));
  const memory = [];
  const onProgress = ({ rows: done }) => {
    if (done >= (memory.length + 1) * step) memory.push(process.memoryUsage.rss());
  };
  const started = performance.now();
  const manifest = await embedCorpus(
    { inputs: [input], output: join(folder, 'out'), format },
    stubEmbedder({ dimension }),
    {
      onProgress,
    },
  );
  const seconds = (performance.now() - started) / 1000;
  const [first] = memory;
  const last = process.memoryUsage.rss();
  console.log(
    JSON.stringify({
      rows: manifest.rows,
      format,
      dimension,
      seconds,
      megabytes: { atRow50000: first / 1e6, atEnd: last / 1e6 },
      ratio: last / first,
    }),
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}

function* lines() {
  for (let row = 0; row < rows; row += 1000) {
    const block = Array.from({ length: Math.min(1000, rows - row) }, (_, index) => {
      const text = `Row ${row + index} of a corpus: ${'some words that differ in number '.repeat(1 + ((row + index) % 5))}`;
      return `${JSON.stringify({ text })}\n`;
    });
    yield block.join('');
  }
}
