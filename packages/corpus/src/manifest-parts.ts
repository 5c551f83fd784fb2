/**
 * Lists the shards of an output folder. A manifest itself lists up to 4,096 shards. For larger outputs, the shards are
 * listed in separate files, the parts, and the manifest lists the parts with their hashes. The manifest therefore stays
 * small, and can be written last and atomically for any size of the output.
 */
import { SentvecError } from '@sentvec/core';
import { sha256 } from '@sentvec/platform';
import * as v from 'valibot';
import { locationIn, readLocation } from './location.ts';
import {
  filesOf,
  manifestSchemas,
  rejectedFileOf,
  sortableNumber,
  vectorsIn,
  type Manifest,
  type ManifestPart,
  type ShardEntry,
  type ShardFile,
} from './manifest.ts';

/** Maximum number of shards in a manifest without parts, and in each part. */
export const shardsOfPart = 4096;

/** The fields of a manifest that summarize its shards. */
export type ShardSummary = Pick<
  Manifest,
  'rows' | 'pieces' | 'rejected' | 'truncated' | 'tokens' | 'backends' | 'shards' | 'parts'
>;

/**
 * Computes the summary of the shards for a manifest, in constant memory: if there are many shards, they are written to
 * parts.
 *
 * @param write writes the file of a part
 * @param most maximum number of shards in a manifest without parts, and in each part
 */
export async function summarizeShards(
  entries: Iterable<ShardEntry> | AsyncIterable<ShardEntry>,
  write: (name: string, content: Uint8Array) => Promise<void>,
  most: number = shardsOfPart,
): Promise<ShardSummary> {
  const counts = { rows: 0, pieces: 0, rejected: 0, truncated: 0, tokens: 0 };
  const backends = new Set<string>();
  const parts: ManifestPart[] = [];
  let shards: ShardEntry[] = [];
  const writePart = async (): Promise<void> => {
    parts.push(await storePart(shards, parts.length, write));
    shards = [];
  };
  for await (const entry of entries) {
    if (shards.length === most) await writePart();
    shards.push(entry);
    counts.rows += entry.rows - (entry.removed?.rows ?? 0);
    counts.pieces += vectorsIn(entry);
    for (const name of ['rejected', 'truncated', 'tokens'] as const) counts[name] += entry[name];
    if (entry.backend !== undefined) backends.add(entry.backend);
  }
  if (parts.length > 0) await writePart();
  return {
    ...counts,
    ...(backends.size > 0 && { backends: [...backends].sort() }),
    shards,
    ...(parts.length > 0 && { parts }),
  };
}

/**
 * Writes a part. Its name has a content hash, so that it never replaces a part that readers of the old manifest need.
 */
async function storePart(
  shards: readonly ShardEntry[],
  index: number,
  write: (name: string, content: Uint8Array) => Promise<void>,
): Promise<ManifestPart> {
  const content = Buffer.from(shards.map((shard) => `${JSON.stringify(shard)}\n`).join(''));
  const hash = await sha256(content);
  const file = `shards-${sortableNumber(index)}.${hash.slice(0, 16)}.jsonl`;
  await write(file, content);
  return { file, bytes: content.byteLength, sha256: hash, ...countsOf(shards) };
}

function countsOf(shards: readonly ShardEntry[]): Omit<ManifestPart, keyof ShardFile> {
  const sum = (count: (shard: ShardEntry) => number): number => shards.reduce((total, each) => total + count(each), 0);
  return {
    shards: shards.length,
    shardBytes: sum((shard) => filesOf(shard).reduce((total, { bytes }) => total + bytes, 0)),
    firstRow: shards[0]?.firstRow ?? 0,
    rows: sum(({ rows }) => rows),
    removedRows: sum(({ removed }) => removed?.rows ?? 0),
    rejected: sum(({ rejected }) => rejected),
    vectors: sum(vectorsIn),
  };
}

/**
 * Returns the number of shards of an output, their total size in bytes, and the number of vectors that were not
 * removed.
 */
export function shardTotals(manifest: Pick<Manifest, 'shards' | 'parts'>): {
  readonly shards: number;
  readonly bytes: number;
  readonly vectors: number;
} {
  const all = [countsOf(manifest.shards), ...(manifest.parts ?? [])];
  return {
    shards: all.reduce((total, { shards }) => total + shards, 0),
    bytes: all.reduce((total, { shardBytes }) => total + shardBytes, 0),
    vectors: all.reduce((total, { vectors }) => total + vectors, 0),
  };
}

/**
 * Yields the shards of a manifest in order. Only one part is in memory at a time.
 *
 * @throws SentvecError `invalid-output` if a part is missing or damaged; `io-failed`
 */
export async function* shardsOf(
  directory: string,
  { shards, parts = [] }: Pick<Manifest, 'shards' | 'parts'>,
): AsyncGenerator<ShardEntry, void> {
  yield* shards;
  for (const part of parts) yield* await readPart(directory, part);
}

async function readPart(directory: string, part: ManifestPart): Promise<readonly ShardEntry[]> {
  const path = locationIn(directory, part.file);
  const bytes = await readLocation(path);
  const unusable = (problem: string, cause?: unknown): SentvecError => {
    const message = `${path} ${problem}. It lists shards: fetch the folder again, or embed the corpus again with \`overwrite\`.`;
    return new SentvecError('invalid-output', message, { file: path, missing: bytes === undefined }, { cause });
  };
  if (bytes === undefined) throw unusable('is missing');
  if ((await sha256(bytes)) !== part.sha256) throw unusable('is damaged: it is not what the manifest says');
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8').split('\n').slice(0, -1);
  const parsed = v.safeParse(partSchema, lines);
  if (!parsed.success) throw unusable('is not as sentvec writes it', parsed.issues[0]);
  const shards = parsed.output;
  const { file: _, bytes: __, sha256: ___, ...expected } = part;
  let next = part.firstRow;
  const follows = shards.every(({ firstRow, rows, rejected }) => {
    const isNext = firstRow === next;
    next += rows + rejected;
    return isNext;
  });
  const found: Readonly<Record<string, number>> = { ...countsOf(shards) };
  if (!follows || Object.entries(expected).some(([name, count]) => found[name] !== count))
    throw unusable('does not add up to what the manifest says');
  return shards;
}

const partSchema: v.GenericSchema<unknown, readonly ShardEntry[]> = v.array(
  v.pipe(v.string(), v.parseJson(), manifestSchemas.listedShard),
);

/**
 * Returns the names of all files of a manifest: shards, parts, and the list of rejected rows. Takes about 100 bytes per
 * name.
 */
export async function namesOfListed(directory: string, manifest: Manifest): Promise<Set<string>> {
  const names = new Set((manifest.parts ?? []).map(({ file }) => file));
  const rejected = rejectedFileOf(manifest);
  if (rejected !== undefined) names.add(rejected);
  for await (const shard of shardsOf(directory, manifest)) for (const { file } of filesOf(shard)) names.add(file);
  return names;
}
