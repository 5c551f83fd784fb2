import { yieldToEventLoop } from '@sentvec/platform';
import type { RowId } from '../rows/row.ts';
import { float32Text } from './float32-text.ts';
import { allocateEntries, type Shard, type ShardLayout, type Sink } from './sink.ts';

/** Rows that are formatted in one step. */
const sliceRows = 64;

/**
 * JSON lines: `{"id": …, "embedding": […]}` and the kept columns. Kept values keep their types. About five times the
 * size of the others.
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
  const { data, cols } = vectors;
  let entries = '';
  for (let at = row * cols; at < (row + 1) * cols; at += 1) {
    if (at > row * cols) entries += ',';
    entries += precision === 'float32' ? float32Text(data[at]!) : data[at]!;
  }
  const kept = columnNames
    .map((name, index) => `,${JSON.stringify(name)}:${JSON.stringify(columns[index]![row] ?? null)}`)
    .join('');
  return `{"id":${JSON.stringify(ids[row])},"embedding":[${entries}]${kept}}\n`;
}

function parseShard(text: string, { precision, cols, columnNames }: ShardLayout): Shard {
  const lines = text.split('\n').slice(0, -1);
  const data = allocateEntries(precision, lines.length * cols);
  const ids: RowId[] = [];
  const columns = columnNames.map((): unknown[] => []);
  for (const [row, line] of lines.entries()) {
    const record = JSON.parse(line) as { id: RowId; embedding: number[] } & Record<string, unknown>;
    ids.push(record.id);
    data.set(record.embedding, row * cols);
    for (const [index, name] of columnNames.entries()) columns[index]!.push(record[name]);
  }
  return { ids, vectors: { data, rows: lines.length, cols }, columns };
}
