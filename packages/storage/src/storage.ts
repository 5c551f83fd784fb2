/** What a store of files can do: the one interface between sentvec and file systems, object stores and web servers. */

/** What a store says of a file. JSON. */
export interface FileVersion {
  /** Size. */
  readonly bytes: number;
  /**
   * Another one whenever the content is another: the ETag of an object store; size, time and inode of a file system.
   * Only compared, and only with versions of the same file.
   */
  readonly version: string;
}

/** A file that {@link Storage.list} has found. */
export interface ListedFile extends FileVersion {
  readonly key: string;
}

/** Options of all methods of a {@link Storage}. */
export interface StorageOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link Storage.read} and {@link Storage.stream}. */
export interface ReadOptions extends StorageOptions {
  /** First byte. @default 0 */
  readonly start?: number | undefined;
  /** One more than the last byte. The file must have that many. @default the end of the file */
  readonly end?: number | undefined;
  /** Reads only this version. @default whatever is there when reading begins */
  readonly version?: string | undefined;
}

/** Options of {@link Storage.write}. */
export interface WriteOptions extends StorageOptions {
  /**
   * What the write may replace: `null` for nothing, or the file of this version.
   * @default whatever is there
   */
  readonly replaces?: string | null | undefined;
}

/** What a file is to hold: its bytes, or a stream of them that is written in constant memory. */
export type StorageContent = Uint8Array | string | AsyncIterable<Uint8Array>;

/**
 * Files by their keys: texts such as `run/shard-00000.parquet`, with `/` between names. Every implementation passes
 * `storageContract` of `@sentvec/testing`.
 *
 * Methods retry temporary failures. They throw SentvecError `io-failed`, with `details.file` and the remedy in the
 * message; `details.missing` says that the file is not there, `details.changed` that it is another version or has
 * another size than was asked for. `aborted` when the signal fires. `invalid-argument` for keys that the store cannot
 * have.
 */
export interface Storage {
  readonly specificationVersion: 1;
  /** The address of the store, for messages: `s3://bucket/folder`, or a path. A key follows after a slash. */
  readonly uri: string;

  /** Size and version of a file; `undefined` when there is none. */
  stat(key: string, options?: StorageOptions): Promise<FileVersion | undefined>;

  /** The bytes from `start` to `end`, exactly that many, all of one version. */
  read(key: string, options?: ReadOptions): Promise<Uint8Array>;

  /** Like {@link Storage.read}, in blocks, in constant memory. Each block is the caller's. */
  stream(key: string, options?: ReadOptions): AsyncIterable<Uint8Array>;

  /**
   * Writes a file: it appears whole or not at all, in place of an earlier one. With `replaces`, of several that write
   * at once one succeeds.
   * @returns what was written, or `undefined` when another file is there than `replaces` says: then nothing has changed
   */
  write(key: string, content: StorageContent, options?: WriteOptions): Promise<FileVersion | undefined>;

  /** All files whose keys begin with `prefix`, in the order of the bytes of their keys, in constant memory. */
  list(prefix: string, options?: StorageOptions): AsyncIterable<ListedFile>;

  /** Removes a file. Does nothing when there is none. */
  remove(key: string, options?: StorageOptions): Promise<void>;

  /**
   * Removes what writes below `prefix` left when they were killed, which no other method shows: parts of objects,
   * temporary files. Writes that are going on there fail.
   */
  removeUnfinished(prefix: string, options?: StorageOptions): Promise<void>;
}
