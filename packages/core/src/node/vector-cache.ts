/**
 * A content-addressed cache of vectors: its key is the text, the fingerprint of the vector space, and the backend. It
 * is a folder of immutable files, each written atomically, so that any number of processes can share it.
 */
import { hash, randomUUID } from 'node:crypto';
import { open, readdir, rm, stat, utimes } from 'node:fs/promises';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { canonicalJson, checkOptionNames, sha256, warn, type OptionNames } from '@sentvec/platform';
import { makeFolder, writeFileAtomically } from '@sentvec/platform/node';
import { SentvecError } from '../errors.ts';

/** Options of {@link openVectorCache}. */
export interface VectorCacheOptions {
  /**
   * Maximum size of the cache in bytes, for all models together. The least recently used files are removed.
   * @default 4 GiB
   */
  readonly maxBytes?: number | undefined;
}

/** A vector in the cache. */
export interface CachedVector {
  readonly vector: Float32Array;
  /** Number of tokens that the model read. */
  readonly tokens: number;
  /** Number of tokens of the whole text if it was truncated, otherwise 0. */
  readonly cutFrom: number;
  /** The file that the vector was read from; `undefined` if this process computed it. */
  readonly file?: string | undefined;
}

/** A cache of vectors in a folder; see {@link openVectorCache}. */
export interface VectorCache {
  readonly directory: string;
  /**
   * The vectors of a space.
   * @param fingerprint see `Embedder.fingerprint`
   * @param backend name of the backend that computes them. Rounding differs between backends and between CPU models, so
   * each combination has its own vectors
   */
  space(fingerprint: string, backend: string | undefined, dimension: number): Promise<CachedSpace>;
}

const optionNames: OptionNames<VectorCacheOptions> = { maxBytes: true };
const defaultBytes = 2 ** 32;
/** Vectors are written when they have this many bytes, and when the embedder is disposed. */
const bytesOfFile = 2 ** 22;
/**
 * When a text is not found, the folder is listed again for files of other processes, but not more often than every so
 * many milliseconds.
 */
const minListingInterval = 10_000;
/** A file starts with the keys of all its vectors, so that only these are read to index it. The entries follow. */
const keyBytes = 16;
const checksumBytes = 4;
/**
 * The size of an entry before its numbers: the CRC-32 of the rest, the number of tokens, the full length of a truncated
 * text.
 */
const headBytes = checksumBytes + 8;
const ending = '.vectors';

/**
 * Opens a cache of vectors for {@link cachedEmbedder}; creates its folder if it does not exist.
 * @param directory the folder of the cache, for any number of models and processes; it must contain nothing else
 * @throws SentvecError `invalid-argument`, `io-failed`
 */
export async function openVectorCache(directory: string, options: VectorCacheOptions = {}): Promise<VectorCache> {
  checkOptionNames('openVectorCache()', options, optionNames);
  const { maxBytes = defaultBytes } = options;
  if (!(maxBytes > 0)) throw new SentvecError('invalid-argument', `maxBytes is ${maxBytes}; it must be above 0.`);
  await makeFolder(directory);
  return {
    directory,
    space: async (fingerprint, backend, dimension) => {
      const machine = [backend ?? null, process.arch, cpus()[0]?.model ?? null];
      const key = await sha256(canonicalJson([3, fingerprint, ...machine]));
      const folder = join(directory, key.slice(0, 32));
      await makeFolder(folder);
      const space = new CachedSpace(folder, dimension, () => trim(directory, maxBytes));
      await space.readIndex();
      return space;
    },
  };
}

/** A file whose keys are in the index. */
interface IndexedFile {
  readonly path: string;
  readonly vectors: number;
}

/** The position of a vector in the cache. */
interface Location {
  readonly file: IndexedFile;
  readonly index: number;
}

/**
 * The cached vectors of one space. Needs about 100 bytes of memory for each. Vectors that other processes write are
 * found within about 10 seconds.
 */
export class CachedSpace {
  readonly #folder: string;
  readonly #dimension: number;
  readonly #trim: () => Promise<void>;
  readonly #index = new Map<string, Location>();
  readonly #used = new Set<string>();
  /** Names of the files whose vectors are in the index. */
  readonly #indexed = new Set<string>();
  #listedAt = 0;
  /** Files whose vectors are equal to those that this machine computes. */
  readonly #proven = new Set<string>();
  #unwritten = new Map<string, CachedVector>();

  constructor(folder: string, dimension: number, trimCache: () => Promise<void>) {
    this.#folder = folder;
    this.#dimension = dimension;
    this.#trim = trimCache;
  }

  get #entryBytes(): number {
    return headBytes + 4 * this.#dimension;
  }

  /**
   * Reads the keys of new files into the index. Incomplete files are ignored. If a text is in several files, the latest
   * file is used.
   */
  async readIndex(): Promise<void> {
    this.#listedAt = Date.now();
    for (const name of (await readdir(this.#folder)).sort()) {
      if (!name.endsWith(ending) || this.#indexed.has(name)) continue;
      this.#indexed.add(name);
      const path = join(this.#folder, name);
      const size = (await stat(path).catch(() => undefined))?.size ?? 0; // Another process has removed it.
      const vectors = size / (keyBytes + this.#entryBytes);
      const keys = Number.isInteger(vectors) ? await readRange(path, 0, vectors * keyBytes) : undefined;
      if (keys === undefined) continue;
      const file = { path, vectors };
      for (let index = 0; index < vectors; index += 1)
        this.#index.set(keys.toString('latin1', index * keyBytes, (index + 1) * keyBytes), { file, index });
    }
  }

  /** The cached vector of each text. An entry with a wrong checksum counts as missing. */
  async find(texts: readonly string[]): Promise<(CachedVector | undefined)[]> {
    const keys = texts.map(keyOf);
    const isUnknown = (key: string): boolean => !this.#unwritten.has(key) && !this.#index.has(key);
    if (Date.now() - this.#listedAt >= minListingInterval && keys.some(isUnknown)) await this.readIndex();
    const found = keys.map((key) => this.#unwritten.get(key));
    const wanted = new Map<IndexedFile, { readonly position: number; readonly index: number }[]>();
    for (const [position, key] of keys.entries()) {
      const location = found[position] === undefined ? this.#index.get(key) : undefined;
      if (location === undefined) continue;
      const entriesOfFile = wanted.get(location.file);
      const entry = { position, index: location.index };
      if (entriesOfFile === undefined) wanted.set(location.file, [entry]);
      else entriesOfFile.push(entry);
    }
    for (const [{ path, vectors }, entries] of wanted) {
      this.#used.add(path);
      const first = entries.reduce((least, { index }) => Math.min(least, index), vectors);
      const last = entries.reduce((most, { index }) => Math.max(most, index), 0);
      const begin = vectors * keyBytes + first * this.#entryBytes;
      const bytes = await readRange(path, begin, begin + (last + 1 - first) * this.#entryBytes);
      if (bytes === undefined) continue;
      for (const { position, index } of entries) found[position] = this.#decode(bytes, index - first, path);
    }
    return found;
  }

  /** Whether some vectors of a file were compared with computed ones, or this process wrote the file. */
  isProven(file: string): boolean {
    return this.#proven.has(file);
  }

  /** Marks files whose vectors are equal to computed ones. */
  prove(files: Iterable<string>): void {
    for (const file of files) this.#proven.add(file);
  }

  /** Adds vectors, and writes them to a file when there are many. */
  async add(texts: readonly string[], vectors: readonly CachedVector[]): Promise<void> {
    for (const [index, text] of texts.entries()) this.#unwritten.set(keyOf(text), vectors[index]!);
    if (this.#unwritten.size * this.#entryBytes >= bytesOfFile) await this.write();
  }

  /** Deletes all vectors of the space, also for other processes, because the backend's results have changed. */
  async clear(): Promise<void> {
    this.#index.clear();
    this.#unwritten.clear();
    for (const name of await readdir(this.#folder)) await rm(join(this.#folder, name), { force: true });
  }

  /** Writes new vectors to a file. If that fails, there is only a warning: they are computed again the next time. */
  async write(): Promise<void> {
    const entries = [...this.#unwritten];
    this.#unwritten = new Map();
    const now = new Date();
    for (const file of this.#used) await utimes(file, now, now).catch(() => {});
    this.#used.clear();
    if (entries.length === 0) return;
    // The name begins with the time, so that a vector that replaces a damaged one is in a later file.
    const path = join(this.#folder, `${Date.now()}-${randomUUID()}${ending}`);
    const keys = Buffer.from(entries.map(([key]) => key).join(''), 'latin1');
    const bytes = Buffer.concat([keys, ...entries.map(([, vector]) => this.#encode(vector))]);
    try {
      await writeFileAtomically(path, bytes);
    } catch (error) {
      return warn(`The cache of vectors cannot be written: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.#proven.add(path);
    this.#indexed.add(basename(path));
    const file = { path, vectors: entries.length };
    for (const [index, [key]] of entries.entries()) this.#index.set(key, { file, index });
    await this.#trim();
  }

  #encode({ vector, tokens, cutFrom }: CachedVector): Buffer {
    const entry = Buffer.alloc(this.#entryBytes);
    entry.writeUInt32LE(tokens, checksumBytes);
    entry.writeUInt32LE(cutFrom, checksumBytes + 4);
    entry.set(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), headBytes);
    entry.writeUInt32LE(crc32(entry.subarray(checksumBytes)));
    return entry;
  }

  #decode(bytes: Buffer, index: number, file: string): CachedVector | undefined {
    const begin = index * this.#entryBytes;
    const entry = bytes.subarray(begin, begin + this.#entryBytes);
    if (crc32(entry.subarray(checksumBytes)) !== entry.readUInt32LE()) return undefined;
    return {
      vector: new Float32Array(bytes.buffer, bytes.byteOffset + begin + headBytes, this.#dimension),
      tokens: entry.readUInt32LE(checksumBytes),
      cutFrom: entry.readUInt32LE(checksumBytes + 4),
      file,
    };
  }
}

/** Reads a part of a file; `undefined` if another process has removed the file. */
async function readRange(path: string, start: number, end: number): Promise<Buffer | undefined> {
  try {
    const handle = await open(path);
    try {
      const bytes = Buffer.from(new ArrayBuffer(end - start)); // Not from the pool of Node, so that 32-bit numbers are aligned.
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
      return bytesRead === bytes.length ? bytes : undefined;
    } finally {
      await handle.close();
    }
  } catch {
    return undefined;
  }
}

/** Hashes UTF-16 code units instead of UTF-8, in which all lone surrogates would become the same character. */
function keyOf(text: string): string {
  return hash('sha256', Buffer.from(text, 'utf16le'), 'buffer').toString('latin1', 0, keyBytes);
}

/** Removes the least recently used files until the cache has at most `maxBytes`. */
async function trim(directory: string, maxBytes: number): Promise<void> {
  const names = await readdir(directory, { recursive: true });
  const files = (
    await Promise.all(
      names
        .filter((name) => name.endsWith(ending))
        .map(async (name) => {
          const file = join(directory, name);
          const stats = await stat(file).catch(() => undefined);
          return stats === undefined ? [] : [{ file, size: stats.size, used: stats.mtimeMs }];
        }),
    )
  ).flat();
  let total = files.reduce((sum, { size }) => sum + size, 0);
  for (const { file, size } of files.toSorted((a, b) => a.used - b.used)) {
    if (total <= maxBytes) return;
    await rm(file, { force: true });
    total -= size;
  }
}
