/** Generates Parquet files from a seed, most of them with a fault. */
import { parquetMetadata, type FileMetaData } from 'hyparquet';
import { ByteWriter, parquetWriteBuffer } from 'hyparquet-writer';
import { writeMetadata } from 'hyparquet-writer/src/metadata.js';
import { Random, withDamage } from './random.ts';

/** A generated file. */
export interface GeneratedParquet {
  readonly title: string;
  readonly bytes: Buffer;
  /** The texts that were written. */
  readonly texts: readonly string[];
  /** Whether the file is undamaged. */
  readonly isSound: boolean;
}

/** Generates the file for a seed. */
export function parquetOf(seed: number): GeneratedParquet {
  const random = new Random(seed);
  const rows = random.pick([1, 5, 20, 300]);
  const distinct = random.pick([1, 3, 1000]);
  const texts = Array.from(
    { length: rows },
    (_, row) => `text ${(row * 7) % distinct} ${'é'.repeat(random.below(20))}`,
  );
  const file = Buffer.from(
    parquetWriteBuffer({
      columnData: [
        { name: 'text', data: texts, type: 'STRING', nullable: random.chance(0.5) },
        { name: 'number', data: texts.map((_, row) => (row % 3 === 0 ? null : row)), type: 'INT32' },
        { name: 'tags', data: texts.map((text, row) => [text, `tag ${row}`].slice(0, row % 3)), type: 'JSON' },
      ],
      codec: random.pick(['SNAPPY', 'UNCOMPRESSED']),
      rowGroupSize: random.pick([2, 7, 100, 1000]),
      pageSize: random.pick([100, 1 << 20]),
    }),
  );
  const kind = random.pick(['sound', 'bytes', 'footer', 'footer', 'numbers', 'numbers', 'cut'] as const);
  const bytes = damage(file, kind, random);
  return { title: `seed ${seed}: ${kind}, ${rows} rows`, bytes, texts, isSound: bytes.equals(file) };
}

function damage(file: Buffer, kind: 'sound' | 'bytes' | 'footer' | 'numbers' | 'cut', random: Random): Buffer {
  // Bytes that are common in a Thrift footer: field headers, list headers, and bounds of varints.
  const common = [0, 1, 2, 0x15, 0x19, 0x1c, 0x7f, 0x80, 0xff];
  const end = file.length - 8;
  const start = end - file.readUInt32LE(end);
  if (kind === 'sound') return file;
  if (kind === 'bytes') return withDamage(file, random, common);
  if (kind === 'cut') return file.subarray(0, random.below(file.length));
  const footer = kind === 'footer' ? withDamage(file.subarray(start, end), random, common) : withNumbers(file, random);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(footer.length);
  return Buffer.concat([file.subarray(0, start), footer, tail, Buffer.from('PAR1')]);
}

/** Returns the footer with one or two changed numbers. */
function withNumbers(file: Buffer, random: Random): Buffer {
  const metadata = parquetMetadata(file, { geoparquet: false });
  for (let change = random.pick([1, 2]); change > 0; change -= 1) changeNumber(metadata, random);
  const writer = new ByteWriter();
  writeMetadata(writer, metadata);
  const written = Buffer.from(writer.getBytes());
  return written.subarray(0, written.length - 4); // Without the length, which writeMetadata appends.
}

function changeNumber(metadata: FileMetaData, random: Random): void {
  const numbers = new Map<string, { readonly owner: Record<string, unknown>; readonly name: string }>();
  const collect = (owner: Record<string, unknown>, path: string): void => {
    for (const [name, value] of Object.entries(owner)) {
      // Writing the footer requires the schema tree.
      if (name === 'schema' || name === 'statistics') continue;
      if (typeof value === 'bigint' || typeof value === 'number') numbers.set(`${path}.${name}`, { owner, name });
      else if (typeof value === 'object' && value !== null)
        collect(value as Record<string, unknown>, `${path}.${name}`);
    }
  };
  collect(metadata as unknown as Record<string, unknown>, '');
  const { owner, name } = random.pick([...numbers.values()]);
  const value = Number(owner[name]);
  const other = random.pick([value + 1, value - 1, value * 2, 0, -1, -value, 4, 2 ** 31 - 1, 1_000_000]);
  owner[name] = typeof owner[name] === 'bigint' ? BigInt(other) : other;
}
