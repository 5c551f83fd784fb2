// Writes and reads shards as JSON lines.
import type { SparseVector } from '@sentvec/core';
import { yieldToEventLoop } from '@sentvec/platform';
import type { RowId } from '../rows/row.ts';
import { float32Text } from './float32-text.ts';
import type { Precision } from '../request.ts';
import {
  allocateEntries,
  isSparse,
  joinSparse,
  type Shard,
  type ShardLayout,
  type ShardVectors,
  type Sink,
  type SparseShardVectors,
} from './sink.ts';

type Embedding = number[] | { readonly indices: number[]; readonly values: number[] };

/** How many rows are formatted before yielding to the event loop. */
const sliceRows = 64;

/**
 * JSON lines of `{"id": …, "embedding": […]}` and the kept columns, which keep their types. About five times as large
 * as the other formats. A sparse embedding is `{"indices": […], "values": […]}`, the form that Qdrant and Pinecone use.
 */
export const jsonlSink: Sink = {
  format: 'jsonl',
  endings: ['.jsonl'],
  encode: async (shard, layout) => {
    const lines: Buffer[] = [];
    for (let row = 0; row < shard.ids.length; row += sliceRows) {
      const end = Math.min(row + sliceRows, shard.ids.length);
      let text = '';
      for (let each = row; each < end; each += 1) text += formatRow(shard, layout, each);
      lines.push(Buffer.from(text));
      await yieldToEventLoop();
    }
    return [Buffer.concat(lines)];
  },
  decode: async (files, layout) => parseShard(Buffer.from(files[0]!).toString('utf8'), layout),
};

function formatRow({ ids, vectors, columns }: Shard, { precision, columnNames }: ShardLayout, row: number): string {
  const embedding = isSparse(vectors) ? sparseText(vectors, row) : denseText(vectors, precision, row);
  const kept = columnNames
    .map((name, index) => `,${JSON.stringify(name)}:${JSON.stringify(columns[index]![row] ?? null)}`)
    .join('');
  return `{"id":${JSON.stringify(ids[row])},"embedding":${embedding}${kept}}\n`;
}

function denseText({ data, cols }: ShardVectors, precision: Precision, row: number): string {
  let entries = '';
  for (let at = row * cols; at < (row + 1) * cols; at += 1) {
    if (at > row * cols) entries += ',';
    entries += precision === 'float32' ? float32Text(data[at]!) : data[at]!;
  }
  return `[${entries}]`;
}

function sparseText({ indices, values, offsets }: SparseShardVectors, row: number): string {
  const own = [offsets[row], offsets[row + 1]] as const;
  return `{"indices":[${indices.subarray(...own).join()}],"values":[${Array.from(values.subarray(...own), float32Text).join()}]}`;
}

function parseShard(text: string, { precision, cols, columnNames, sparse = false }: ShardLayout): Shard {
  const lines = text.split('\n').slice(0, -1);
  const data = allocateEntries(precision, sparse ? 0 : lines.length * cols);
  const vectors: SparseVector[] = [];
  const ids: RowId[] = [];
  const columns = columnNames.map((): unknown[] => []);
  for (const [row, line] of lines.entries()) {
    const record = JSON.parse(line) as { id: RowId; embedding: Embedding } & Record<string, unknown>;
    const { embedding } = record;
    ids.push(record.id);
    if (Array.isArray(embedding)) data.set(embedding, row * cols);
    else vectors.push({ indices: Int32Array.from(embedding.indices), values: Float32Array.from(embedding.values) });
    for (const [index, name] of columnNames.entries()) columns[index]!.push(record[name]);
  }
  return { ids, vectors: sparse ? joinSparse(vectors) : { data, rows: lines.length, cols }, columns };
}
