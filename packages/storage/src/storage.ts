/** The interface of a storage: file systems, object stores and web servers. */

/** Size and version of a file. JSON. */
export interface FileVersion {
  /** Size in bytes. */
  readonly bytes: number;
  /**
   * A string that changes when the content changes: the ETag in an object store; size, time and inode in a file system.
   * It is only compared with versions of the same file.
   */
  readonly version: string;
}

/** A file in a {@link Storage.list}. */
export interface ListedFile extends FileVersion {
  readonly key: string;
}

/** Options of all methods of a {@link Storage}. */
export interface StorageOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link Storage.read} and {@link Storage.stream}. */
export interface ReadOptions extends StorageOptions {
  /** Offset of the first byte. @default 0 */
  readonly start?: number | undefined;
  /** Offset after the last byte. The file must have at least this size. @default the end of the file */
  readonly end?: number | undefined;
  /** The version that must be read. @default the version at the beginning of the read */
  readonly version?: string | undefined;
}

/** Options of {@link Storage.write}. */
export interface WriteOptions extends StorageOptions {
  /**
   * Makes the write conditional. `null`: only if no file exists. A version: only if the file has this version.
   * @default unconditional
   */
  readonly replaces?: string | null | undefined;
}

/** The content of a write: bytes, a string, or a stream that is written in constant memory. */
export type StorageContent = Uint8Array | string | AsyncIterable<Uint8Array>;

/**
 * A storage of files by key, such as `run/shard-00000.parquet`. Every implementation must pass `storageContract` of
 * `@sentvec/testing`.
 *
 * Methods retry temporary failures. They throw a SentvecError `io-failed` with `details.file`; `details.missing` is set
 * if the file does not exist, and `details.changed` if it has another version or size than requested. They throw
 * `aborted` when the signal is aborted, and `invalid-argument` for invalid keys.
 */
export interface Storage {
  readonly specificationVersion: 1;
  /** The location of the storage for messages: `s3://bucket/folder` or a path. A key is appended after a slash. */
  readonly uri: string;

  /** Returns size and version of a file; `undefined` if it does not exist. */
  stat(key: string, options?: StorageOptions): Promise<FileVersion | undefined>;

  /** Reads exactly the bytes from `start` to `end`, all of one version. */
  read(key: string, options?: ReadOptions): Promise<Uint8Array>;

  /** Like {@link Storage.read}, but in blocks and in constant memory. The caller owns each block. */
  stream(key: string, options?: ReadOptions): AsyncIterable<Uint8Array>;

  /**
   * Writes a file atomically, in place of an existing one. With `replaces`, exactly one of several concurrent writes
   * succeeds.
   * @returns the written version, or `undefined` if the condition of `replaces` was not met and nothing was written
   */
  write(key: string, content: StorageContent, options?: WriteOptions): Promise<FileVersion | undefined>;

  /** Lists all files whose keys begin with `prefix`, in byte order of their keys, in constant memory. */
  list(prefix: string, options?: StorageOptions): AsyncIterable<ListedFile>;

  /** Removes a file. Does nothing if it does not exist. */
  remove(key: string, options?: StorageOptions): Promise<void>;

  /**
   * Removes leftovers of killed writes below `prefix`, such as parts of multipart uploads and temporary files, which
   * other methods do not show. Active writes there fail.
   */
  removeUnfinished(prefix: string, options?: StorageOptions): Promise<void>;
}
