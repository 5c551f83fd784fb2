import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError, type Matrix, type QuantizedMatrix } from '@sentvec/core';
import { ioFailed, isSystemError } from './files/io-error.ts';
import { sha256 } from './files/sha256.ts';
import { manifestFile, readManifest, type Manifest, type ShardEntry, type ShardFile } from './manifest.ts';
import type { RowId } from './rows/row.ts';
import { rangesOf } from './run/calibration.ts';
import { storedCols, type Shard, type ShardLayout } from './sinks/sink.ts';
import { loadSink } from './sinks/sinks.ts';

/** Vectors of one shard. Row i of each part belongs together. */
export interface EmbeddingBatch {
  /** Place of its first vector among all vectors of the folder, from 0. */
  readonly offset: number;
  /** Number of the first row of its chunk in the corpus, from 0; rows without a vector are counted. */
  readonly firstRow: number;
  readonly ids: readonly RowId[];
  /** Present when the texts were kept. */
  readonly texts?: readonly string[];
  /** All kept columns by name, the text among them. */
  readonly columns: Readonly<Record<string, readonly unknown[]>>;
  /** Quantized when the manifest's precision is not `float32`. */
  readonly vectors: Matrix | QuantizedMatrix;
}

/** A finished output folder. */
export interface Embeddings {
  readonly manifest: Manifest;
  /**
   * All vectors in order, a shard at a time, in constant memory. Each shard's hash is checked.
   * @throws SentvecError `invalid-output` for a shard that is damaged, `io-failed`
   */
  batches(): AsyncGenerator<EmbeddingBatch, void>;
}

/**
 * Opens the output of {@link embedCorpus}.
 *
 * @throws SentvecError `invalid-output` when there is none, it is not complete, or a shard is missing or of another
 * size; `io-failed`
 */
export async function openEmbeddings(directory: string): Promise<Embeddings> {
  const manifest = await readManifest(directory);
  if (manifest === undefined)
    throw broken(
      directory,
      `There are no embeddings in ${directory}: it has no ${manifestFile}. Make them by sentvec embed.`,
    );
  if (!manifest.complete)
    throw broken(
      directory,
      `The embeddings in ${directory} are not complete. Finish them by the same command with --resume.`,
    );
  for (const shard of manifest.shards) for (const file of filesOf(shard)) await checkSize(directory, file);
  return { manifest, batches: () => readBatches(directory, manifest) };
}

async function* readBatches(directory: string, manifest: Manifest): AsyncGenerator<EmbeddingBatch, void> {
  const { precision, dimension, idType, options, calibration } = manifest;
  const layout: ShardLayout = {
    precision,
    idType,
    cols: storedCols(precision, dimension),
    columnNames: options.columns,
    metadata: {},
  };
  const ranges = calibration && rangesOf(calibration);
  let offset = 0;
  for (const entry of manifest.shards) {
    const { ids, vectors, columns } = await readShard(directory, entry, manifest, layout);
    const texts = columns[options.columns.indexOf(options.textField)] as string[] | undefined;
    yield {
      offset,
      firstRow: entry.firstRow,
      ids,
      ...(texts && { texts }),
      columns: Object.fromEntries(options.columns.map((name, index) => [name, columns[index]!])),
      vectors:
        precision === 'float32'
          ? (vectors as Matrix)
          : ({ ...vectors, precision, dimension, ...(ranges && { ranges }) } as QuantizedMatrix),
    };
    offset += entry.rows;
  }
}

async function readShard(
  directory: string,
  entry: ShardEntry,
  { format }: Manifest,
  layout: ShardLayout,
): Promise<Shard> {
  const contents: Uint8Array[] = [];
  for (const file of filesOf(entry)) contents.push(await readChecked(directory, file));
  const sink = await loadSink(format);
  const shard = await decode(directory, entry, () => sink.decode(contents, layout));
  if (shard.ids.length !== entry.rows || shard.vectors.rows !== entry.rows) throw damaged(directory, entry);
  return shard;
}

async function decode(directory: string, entry: ShardEntry, work: () => Promise<Shard>): Promise<Shard> {
  try {
    return await work();
  } catch (cause) {
    throw damaged(directory, entry, cause);
  }
}

async function readChecked(directory: string, file: ShardFile): Promise<Uint8Array> {
  const path = join(directory, file.file);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw ioFailed(error, 'Reading', path);
  }
  if (sha256(bytes) !== file.sha256) throw damaged(directory, file);
  return bytes;
}

async function checkSize(directory: string, file: ShardFile): Promise<void> {
  const path = join(directory, file.file);
  try {
    if ((await stat(path)).size === file.bytes) return;
  } catch (error) {
    if (isSystemError(error, 'ENOENT'))
      throw broken(path, `${path} is missing. Fetch the folder again, or embed again with --overwrite.`);
    throw ioFailed(error, 'Reading', path);
  }
  throw damaged(directory, file);
}

function filesOf(entry: ShardEntry): readonly ShardFile[] {
  return entry.companion ? [entry, entry.companion] : [entry];
}

function damaged(directory: string, { file }: ShardFile, cause?: unknown): SentvecError {
  const path = join(directory, file);
  const message = `${path} is damaged: it is not what the manifest says. Fetch the folder again, or embed again with --overwrite.`;
  return new SentvecError('invalid-output', message, { file: path }, { cause });
}

function broken(file: string, message: string): SentvecError {
  return new SentvecError('invalid-output', message, { file });
}
