/** Reads a finished output folder: its manifest, and its vectors shard by shard. */
import { SentvecError, type Matrix, type QuantizedMatrix, type SparseVector } from '@sentvec/core';
import { inOrder, sha256 } from '@sentvec/platform';
import { callsAtOnce, locationIn, readLocation } from './location.ts';
import {
  filesOf,
  isSameOutput,
  readManifest,
  vectorsIn,
  type Manifest,
  type ShardEntry,
  type ShardFile,
} from './manifest.ts';
import { shardsOf, shardTotals } from './manifest-parts.ts';
import { stateOfFile } from './run/finished-chunk.ts';
import type { RowId } from './rows/row.ts';
import { rangesOf } from './run/calibration.ts';
import { readFinishedManifest } from './verify-embeddings.ts';
import { hasPieceRows } from './request.ts';
import {
  columnsOfOutput,
  isSparse,
  joinSparse,
  loadSink,
  pickRows,
  splitSparse,
  storedCols,
  type Shard,
  type ShardLayout,
  type SparseShardVectors,
} from './sinks/sink.ts';

/** The vectors of one shard. Entry i of each list belongs to vector i. */
export interface EmbeddingBatch<Vectors = Matrix | QuantizedMatrix> {
  /** Index of its first vector among all vectors of the folder. */
  readonly offset: number;
  /** Index of the first row of its chunk in the corpus, from 0. Rejected rows are counted. */
  readonly firstRow: number;
  readonly ids: readonly RowId[];
  /**
   * If rows were embedded in pieces: for each vector, the index of its piece in the row, from 0, and the position of
   * the piece in the row's text, in UTF-16 code units. The pieces of a row are consecutive.
   */
  readonly pieces?: readonly { readonly piece: number; readonly start: number; readonly end: number }[] | undefined;
  /** The texts, if they were kept. If rows were embedded in pieces: the texts of the pieces. */
  readonly texts?: readonly string[] | undefined;
  /** All kept columns by name, including the text. */
  readonly columns: Readonly<Record<string, readonly unknown[]>>;
  /** A quantized matrix if the manifest's precision is not `float32`; a list for sparse vectors. */
  readonly vectors: Vectors;
}

/** A finished output folder. */
export interface Embeddings<Vectors = Matrix | QuantizedMatrix> {
  readonly manifest: Manifest;
  /**
   * Reads all vectors in order, shard by shard, in constant memory. The hash of each shard is checked.
   * @param options.rows indices of vectors: only shards that contain one of them are read
   * @throws SentvecError `invalid-output` for a damaged shard; `invalid-output` with `details.replaced` when the corpus
   * was embedded again since the folder was opened, so that it must be opened again; `io-failed`
   */
  batches(options?: { readonly rows?: readonly number[] | undefined }): AsyncGenerator<EmbeddingBatch<Vectors>, void>;
}

/** Shards that were read and stay in memory. */
export interface ShardCache {
  get(shard: ShardEntry): EmbeddingBatch | undefined;
  add(shard: ShardEntry, batch: EmbeddingBatch): void;
}

/**
 * Opens the output of {@link embedCorpus}. Where a manifest lists its shards in parts, each is looked at only when it is
 * read.
 *
 * @throws SentvecError `invalid-output` when the folder has no manifest, is not complete, has sparse vectors, or when a
 * shard is missing or has another size; `io-failed`
 */
export async function openEmbeddings(directory: string): Promise<Embeddings> {
  return openCachedEmbeddings(directory);
}

/** The same, with shards that stay in memory once they were read. */
export async function openCachedEmbeddings(directory: string, cache?: ShardCache): Promise<Embeddings> {
  const manifest = await openFolder(directory);
  if (manifest.kind === 'sparse') throw otherVectorsError(directory, 'sparse', 'openSparseEmbeddings()');
  const { precision, dimension, calibration } = manifest;
  const ranges = calibration && rangesOf(calibration);
  const vectorsOf = (vectors: Shard['vectors']): Matrix | QuantizedMatrix =>
    precision === 'float32'
      ? (vectors as Matrix)
      : ({ ...vectors, precision, dimension, ...(ranges && { ranges }) } as QuantizedMatrix);
  return { manifest, batches: ({ rows } = {}) => readBatches(directory, manifest, rows, vectorsOf, cache) };
}

/**
 * Opens the output of {@link embedCorpus} with a sparse model.
 *
 * @throws SentvecError `invalid-output` when the folder has no manifest, is not complete, has dense vectors, or when a
 * shard is missing or has another size; `io-failed`
 */
export async function openSparseEmbeddings(directory: string): Promise<Embeddings<readonly SparseVector[]>> {
  const manifest = await openFolder(directory);
  if (manifest.kind !== 'sparse') throw otherVectorsError(directory, 'dense', 'openEmbeddings()');
  const vectorsOf = (vectors: Shard['vectors']): readonly SparseVector[] => splitSparse(vectors as SparseShardVectors);
  return { manifest, batches: ({ rows } = {}) => readBatches(directory, manifest, rows, vectorsOf) };
}

async function openFolder(directory: string): Promise<Manifest> {
  const manifest = await readFinishedManifest(directory);
  try {
    const files = manifest.shards.flatMap(filesOf);
    const checking = inOrder(files, callsAtOnce, (file) => checkSize(directory, file));
    while (!(await checking.next()).done) continue;
    return manifest;
  } catch (error) {
    if (await isReplaced(directory, manifest)) return openFolder(directory);
    throw error;
  }
}

/**
 * Whether the corpus was embedded again since the manifest was read. The shards of the old manifest may be gone then.
 */
async function isReplaced(directory: string, manifest: Manifest): Promise<boolean> {
  return !isSameOutput(manifest, await readManifest(directory));
}

function otherVectorsError(directory: string, kind: string, remedy: string): SentvecError {
  const message = `${directory} contains ${kind} vectors. Open it with ${remedy}.`;
  return new SentvecError('invalid-output', message, { file: directory });
}

async function* readBatches<Vectors>(
  directory: string,
  manifest: Manifest,
  wanted: readonly number[] | undefined,
  vectorsOf: (vectors: Shard['vectors']) => Vectors,
  cache?: {
    get(shard: ShardEntry): EmbeddingBatch<Vectors> | undefined;
    add(shard: ShardEntry, batch: EmbeddingBatch<Vectors>): void;
  },
): AsyncGenerator<EmbeddingBatch<Vectors>, void> {
  const { options } = manifest;
  for await (const { entry, offset } of wantedShards(directory, manifest, wanted)) {
    const there = cache?.get(entry);
    if (there !== undefined) {
      yield there;
      continue;
    }
    const { ids, vectors, columns, pieces } = withoutRemoved(entry, await readStoredShard(directory, manifest, entry));
    const texts = columns[options.columns.indexOf(options.textField)] as string[] | undefined;
    const batch = {
      offset,
      firstRow: entry.firstRow,
      ids,
      ...(pieces && { pieces }),
      ...(texts && { texts }),
      columns: Object.fromEntries(options.columns.map((name, index) => [name, columns[index]!])),
      vectors: vectorsOf(vectors),
    };
    cache?.add(entry, batch);
    yield batch;
  }
}

/** The shards that hold one of the wanted vectors. Parts of the manifest that list none of them are not read. */
async function* wantedShards(
  directory: string,
  { shards, parts = [] }: Manifest,
  wanted: readonly number[] | undefined,
): AsyncGenerator<{ readonly entry: ShardEntry; readonly offset: number }, void> {
  const isWanted = (begin: number, end: number): boolean =>
    wanted === undefined || wanted.some((row) => row >= begin && row < end);
  let next = 0;
  for (const some of [{ shards }, ...parts.map((part) => ({ shards: [], parts: [part] }))]) {
    const end = next + shardTotals(some).vectors;
    if (isWanted(next, end))
      for await (const entry of shardsOf(directory, some)) {
        const offset = next;
        next += vectorsIn(entry);
        if (next === offset && entry.removed !== undefined) continue;
        if (isWanted(offset, next)) yield { entry, offset };
      }
    next = end;
  }
}

/** A stored shard, including removed rows, with the positions of pieces. */
export interface StoredShard extends Shard {
  readonly pieces?: EmbeddingBatch['pieces'];
}

/** Reads a shard with its removed rows. @throws SentvecError `invalid-output` for a damaged shard; `io-failed` */
export async function readStoredShard(directory: string, manifest: Manifest, entry: ShardEntry): Promise<StoredShard> {
  const { precision, dimension, idType, options, kind } = manifest;
  const layout: ShardLayout = {
    precision,
    idType,
    cols: storedCols(precision, dimension),
    sparse: kind === 'sparse',
    ...columnsOfOutput(options),
    metadata: {},
  };
  const shard = await readShard(directory, entry, manifest, layout);
  const positions = shard.columns.slice(options.columns.length) as number[][];
  return hasPieceRows(options) ? { ...shard, pieces: positionsOf(positions) } : shard;
}

/** A shard without its removed rows. */
function withoutRemoved({ removed }: ShardEntry, shard: StoredShard): StoredShard {
  if (removed === undefined) return shard;
  const gone = new Set(removed.vectors);
  const rows = shard.ids.flatMap((_, row) => (gone.has(row) ? [] : [row]));
  const pick = <T>(values: readonly T[]): T[] => rows.map((row) => values[row]!);
  return {
    ids: pick(shard.ids),
    columns: shard.columns.map(pick),
    ...(shard.pieces && { pieces: pick(shard.pieces) }),
    vectors: isSparse(shard.vectors) ? joinSparse(pick(splitSparse(shard.vectors))) : pickRows(shard.vectors, rows),
  };
}

function positionsOf([pieces, starts, ends]: readonly (readonly number[])[]): NonNullable<EmbeddingBatch['pieces']> {
  return pieces!.map((piece, index) => ({ piece, start: starts![index]!, end: ends![index]! }));
}

async function readShard(
  directory: string,
  entry: ShardEntry,
  manifest: Manifest,
  layout: ShardLayout,
): Promise<Shard> {
  const contents: Uint8Array[] = [];
  for (const file of filesOf(entry)) contents.push(await readUnlessReplaced(directory, file, manifest));
  const sink = await loadSink(manifest.format);
  const shard = await decode(directory, entry, () => sink.decode(contents, layout));
  const vectors = entry.pieces ?? entry.rows;
  if (shard.ids.length !== vectors || shard.vectors.rows !== vectors) throw damagedShardError(directory, entry);
  return shard;
}

async function decode(directory: string, entry: ShardEntry, work: () => Promise<Shard>): Promise<Shard> {
  try {
    return await work();
  } catch (cause) {
    throw damagedShardError(directory, entry, cause);
  }
}

async function readUnlessReplaced(directory: string, file: ShardFile, manifest: Manifest): Promise<Uint8Array> {
  try {
    return await readChecked(directory, file);
  } catch (error) {
    if (!(await isReplaced(directory, manifest))) throw error;
    const message = `The corpus in ${directory} was embedded again while it was being read. Open it again.`;
    throw new SentvecError('invalid-output', message, { file: directory, replaced: true }, { cause: error });
  }
}

async function readChecked(directory: string, file: ShardFile): Promise<Uint8Array> {
  const path = locationIn(directory, file.file);
  const bytes = await readLocation(path);
  if (bytes === undefined) {
    const message = `${path} is missing. Fetch the folder again, or embed again with \`resume\`.`;
    throw new SentvecError('io-failed', message, { file: path, missing: true });
  }
  if ((await sha256(bytes)) !== file.sha256) throw damagedShardError(directory, file);
  return bytes;
}

async function checkSize(directory: string, file: ShardFile): Promise<void> {
  const state = await stateOfFile(directory, file, false);
  if (state === 'damaged') throw damagedShardError(directory, file);
  if (state === 'missing') throw shardError(directory, file, 'is missing');
}

function damagedShardError(directory: string, file: ShardFile, cause?: unknown): SentvecError {
  return shardError(directory, file, 'is damaged: its content does not match the manifest', cause);
}

function shardError(directory: string, { file }: ShardFile, problem: string, cause?: unknown): SentvecError {
  const path = locationIn(directory, file);
  const remedy = 'Fetch the folder again, or embed again with `resume` and `verify`, which rewrite damaged shards.';
  return new SentvecError('invalid-output', `${path} ${problem}. ${remedy}`, { file: path }, { cause });
}
