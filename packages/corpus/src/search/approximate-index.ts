// An approximate index of a folder's vectors: a graph (HNSW: Malkov and Yashunin, 2018) by the library usearch, in a file
// beside the manifest. It proposes rows; a search then compares their stored vectors, so that scores are exact.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError, type Matrix } from '@sentvec/core';
import {
  canonicalJson,
  checkCount,
  checkOptionNames,
  sha256,
  throwIfAborted,
  yieldToEventLoop,
} from '@sentvec/platform';
import { guardIo, moveIntoPlace } from '@sentvec/platform/node';
import { isStorageUri } from '@sentvec/storage';
import type { Index } from 'usearch';
import { shardTotals } from '../manifest-parts.ts';
import { filesOf, type Manifest } from '../manifest.ts';
import { openEmbeddings } from '../open-embeddings.ts';

/** Options of {@link buildApproximateIndex}. */
export interface ApproximateIndexOptions {
  /** Neighbours that each vector is linked to: more find better, and take more memory. @default 16 */
  readonly connectivity?: number | undefined;
  /** Candidates among which the neighbours of a new vector are chosen: more find better, and take longer. @default 128 */
  readonly expansion?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after every few vectors. */
  readonly onProgress?: ((progress: { readonly vectors: number; readonly total: number }) => void) | undefined;
}

/** A graph that proposes rows for a query. */
export interface ApproximateIndex {
  /** About the nearest vectors of a query, `[1, dimension]`: their indices among the vectors of the folder. */
  propose(query: Matrix, count: number): number[];
}

/** Vectors that are added at once: the event loop is free between them. */
const vectorsAtOnce = 32;

/** Candidates of a search for the neighbours of a query, however few it asks for. */
const searchExpansion = 128;

/**
 * Builds the approximate index of a folder, for `openIndex` with `approximate`, and puts it beside the manifest in place
 * of an earlier one. It holds the vectors once more, in int8 where they are compared by their cosine.
 * @returns the path of the file
 * @throws SentvecError `missing-dependency` without usearch; `unsupported-model` for vectors that are not float32, or
 * compared by Manhattan distance; `invalid-argument`, `invalid-output`, `io-failed`, `aborted`
 */
export async function buildApproximateIndex(directory: string, options: ApproximateIndexOptions = {}): Promise<string> {
  const names = { connectivity: true, expansion: true, signal: true, onProgress: true } as const;
  checkOptionNames('buildApproximateIndex()', options, names);
  const { connectivity = 16, expansion = 128, signal, onProgress } = options;
  for (const [name, value] of Object.entries({ connectivity, expansion })) checkCount(value, name);
  const embeddings = await openEmbeddings(directory);
  const { manifest } = embeddings;
  const index = await emptyIndex(directory, manifest, { connectivity, expansion });
  const total = shardTotals(manifest).vectors;
  let added = 0;
  for await (const { vectors } of embeddings.batches()) {
    const { data, rows, cols } = asFloats(directory, vectors);
    for (let from = 0; from < rows; from += vectorsAtOnce) {
      throwIfAborted(signal);
      const count = Math.min(vectorsAtOnce, rows - from);
      const keys = BigUint64Array.from({ length: count }, (_, row) => BigInt(added + row));
      index.add(keys, prepared(manifest, data.slice(from * cols, (from + count) * cols), cols));
      added += count;
      onProgress?.({ vectors: added, total });
      await yieldToEventLoop();
    }
  }
  const temporary = join(directory, `${await nameOf(manifest)}-${process.pid}.temporary`);
  try {
    return await guardIo('Writing the approximate index', directory, async () => {
      index.save(temporary);
      const file = join(directory, `${await nameOf(manifest)}-${await hashOf(temporary)}.usearch`);
      await moveIntoPlace(temporary, file);
      const others = (await indexFiles(directory)).filter((name) => join(directory, name) !== file);
      for (const name of others) await rm(join(directory, name), { force: true });
      return file;
    });
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Opens the approximate index of a folder.
 * @throws SentvecError `invalid-output` when there is none, when it is of other vectors than the folder has now, or
 * damaged; otherwise as `buildApproximateIndex`
 */
export async function openApproximateIndex(directory: string, manifest: Manifest): Promise<ApproximateIndex> {
  const index = await emptyIndex(directory, manifest, { connectivity: 16, expansion: 128 });
  const remedy = 'Build it with buildApproximateIndex(), or open the folder without "approximate".';
  const files = await indexFiles(directory);
  const content = await nameOf(manifest);
  const name = files.find((each) => each.startsWith(content));
  if (name === undefined) {
    const isStale = files.length > 0;
    const problem = isStale
      ? `The approximate index of ${directory} is of other vectors than the folder has now.`
      : `${directory} has no approximate index.`;
    throw new SentvecError('invalid-output', `${problem} ${remedy}`, { file: directory, stale: isStale });
  }
  const file = join(directory, name);
  const total = shardTotals(manifest).vectors;
  const damaged = (cause?: unknown): SentvecError =>
    new SentvecError('invalid-output', `${file} is damaged. ${remedy}`, { file }, { cause });
  // The library does not survive a file that is damaged: it must never see one.
  if (!name.includes(await guardIo('Reading', file, () => hashOf(file)))) throw damaged();
  try {
    index.load(file);
  } catch (cause) {
    throw damaged(cause);
  }
  if (index.size() !== total || index.dimensions() !== manifest.dimension) throw damaged();
  return {
    propose(query, count) {
      if (total === 0) return [];
      const { keys } = index.search(prepared(manifest, query.data.slice(), query.cols), Math.min(count, total), 1);
      return Array.from(keys, Number).filter((row) => row < total);
    },
  };
}

async function emptyIndex(
  directory: string,
  manifest: Manifest,
  { connectivity, expansion }: { readonly connectivity: number; readonly expansion: number },
): Promise<Index> {
  const { precision, similarityFunction, dimension } = manifest;
  if (isStorageUri(directory))
    throw new SentvecError(
      'invalid-argument',
      `${directory} is in a store. Copy the folder to this machine to build an approximate index of it.`,
    );
  if (precision !== 'float32')
    throw new SentvecError(
      'unsupported-model',
      `${directory} holds vectors in ${precision}, whose exact search is fast. An approximate index is for float32.`,
      { file: directory },
    );
  if (similarityFunction === 'manhattan')
    throw new SentvecError(
      'unsupported-model',
      `The vectors of ${directory} are compared by Manhattan distance, for which there is no approximate index.`,
      { file: directory },
    );
  const { Index, MetricKind, ScalarKind } = await loadUsearch();
  return new Index({
    dimensions: dimension,
    metric: { cosine: MetricKind.Cos, dot: MetricKind.IP, euclidean: MetricKind.L2sq }[similarityFunction],
    quantization: similarityFunction === 'cosine' ? ScalarKind.I8 : ScalarKind.F32,
    connectivity,
    expansion_add: expansion,
    expansion_search: searchExpansion,
    multi: false,
  });
}

async function loadUsearch(): Promise<typeof import('usearch')> {
  try {
    return await import('usearch');
  } catch (cause) {
    const message = 'An approximate index needs one more package: npm install usearch';
    throw new SentvecError('missing-dependency', message, { package: 'usearch' }, { cause });
  }
}

/** Vectors as the graph compares them: int8 needs entries from -1 to 1, so that those of cosine have the length 1. */
function prepared({ similarityFunction }: Manifest, data: Float32Array, cols: number): Float32Array {
  if (similarityFunction !== 'cosine') return data;
  for (let from = 0; from < data.length; from += cols) {
    const row = data.subarray(from, from + cols);
    const norm = Math.hypot(...row) || 1;
    for (let entry = 0; entry < cols; entry += 1) row[entry]! /= norm;
  }
  return data;
}

function asFloats(directory: string, vectors: object): Matrix {
  if ('data' in vectors && vectors.data instanceof Float32Array) return vectors as Matrix;
  throw new SentvecError('invalid-output', `The vectors of ${directory} are not float32.`, { file: directory });
}

/** How the name of an approximate index begins: with a hash of the content that it is of. Its own hash follows. */
async function nameOf({ fingerprint, shards, parts = [] }: Manifest): Promise<string> {
  const ofShards = shards.map((shard) => [...filesOf(shard).map((file) => file.sha256), shard.removed?.vectors ?? []]);
  const content = [fingerprint, ofShards, parts.map((part) => part.sha256)];
  return `approximate-${(await sha256(canonicalJson(content))).slice(0, 16)}`;
}

/** The beginning of the hash of a file, which may be larger than memory. */
async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(file)) hash.update(bytes as Uint8Array);
  return hash.digest('hex').slice(0, 16);
}

async function indexFiles(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => /^approximate-[0-9a-f]{16}-[0-9a-f]{16}\.usearch$/u.test(name));
}
