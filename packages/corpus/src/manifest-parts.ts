/**
 * The shards of an output folder, one after the other. A manifest lists up to 4,096 of them itself; those of larger
 * outputs are in files of their own, its parts, which it lists with their hashes. So it is small, and is written last
 * and in one step, whatever the size of the output.
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

/** Shards of a manifest without parts, at most, and of each part. */
export const shardsOfPart = 4096;

/** What a manifest says about all of its shards. */
export type ShardSummary = Pick<
  Manifest,
  'rows' | 'pieces' | 'rejected' | 'truncated' | 'tokens' | 'backends' | 'shards' | 'parts'
>;

/**
 * What a manifest says about these shards. Constant memory: where they are many, they are written as parts.
 *
 * @param write stores the file of a part
 * @param most shards of a manifest without parts, and of each part
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

/** Its name says what is in it, so that no part takes the place of one that readers need. */
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

/** How many shards an output has, their bytes, and their vectors that were not removed. */
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
 * The shards that a manifest lists, in order. Memory: those of one part.
 *
 * @throws SentvecError `invalid-output` for a part that is missing or damaged, `io-failed`
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

/** Names of the files that a manifest lists: shards, its parts, the list of rejected rows. Some 100 bytes for each. */
export async function namesOfListed(directory: string, manifest: Manifest): Promise<Set<string>> {
  const names = new Set((manifest.parts ?? []).map(({ file }) => file));
  const rejected = rejectedFileOf(manifest);
  if (rejected !== undefined) names.add(rejected);
  for await (const shard of shardsOf(directory, manifest)) for (const { file } of filesOf(shard)) names.add(file);
  return names;
}
