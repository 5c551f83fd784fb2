import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { ioFailed, isSystemError } from './files/io-error.ts';
import type { CorpusOptions, InputFormat } from './request.ts';
import type { Calibration } from './run/calibration.ts';
import type { Space } from './run/corpus-run.ts';
import type { IdType } from './rows/row.ts';

/** A file of a shard. */
export interface ShardFile {
  /** Its name in the output folder. */
  readonly file: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** What one chunk of the corpus has become. */
export interface ShardEntry extends ShardFile {
  /** The input that its rows come from: a place in {@link Manifest.inputs}. */
  readonly input: number;
  /** Number of the chunk's first row in the whole corpus. */
  readonly firstRow: number;
  /** Vectors in it. */
  readonly rows: number;
  /** Rows of the chunk that have no vector. */
  readonly rejected: number;
  /** Texts that were cut to the model's length. */
  readonly truncated: number;
  readonly tokens: number;
  /** Ids and kept columns, where the format holds them in a file of their own. */
  readonly companion?: ShardFile;
}

/**
 * `manifest.json`: everything that a reader of the vectors must know, and nothing that changes between runs of the same
 * command, so that equal runs write equal bytes.
 */
export interface Manifest extends Space {
  /** Version of this file's layout. */
  readonly sentvec: 1;
  /** False until every chunk is there: then the shards of an unfinished run are not listed. */
  readonly complete: boolean;
  readonly precision: CorpusOptions['precision'];
  readonly format: CorpusOptions['format'];
  readonly idType: IdType;
  /** Vectors in all shards. */
  readonly rows: number;
  /** Lines of `rejected.jsonl`. */
  readonly rejected: number;
  readonly truncated: number;
  readonly tokens: number;
  readonly inputs: readonly { readonly file: string; readonly format: InputFormat; readonly bytes: number }[];
  readonly options: Omit<CorpusOptions, 'precision' | 'format'>;
  /** Ranges of the quantization to int8 and uint8; absent for other precisions. */
  readonly calibration?: Calibration;
  readonly shards: readonly ShardEntry[];
}

/** Name of the manifest in an output folder. */
export const manifestFile = 'manifest.json';

/**
 * Name of the list of rejected rows in an output folder: a {@link Rejection} a line. Written when the run is committed,
 * empty when all is well.
 */
export const rejectedFile = 'rejected.jsonl';

/**
 * The manifest of an output folder, or `undefined` when it has none.
 *
 * @throws SentvecError `invalid-output` when the file is not a manifest of sentvec, `io-failed`
 */
export async function readManifest(output: string): Promise<Manifest | undefined> {
  const path = join(output, manifestFile);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return undefined;
    throw ioFailed(error, 'Reading', path);
  }
  const manifest = parseManifest(text);
  if (manifest === undefined) {
    const message = `${path} is not a manifest of sentvec, or of a version that this one does not know. Choose another folder.`;
    throw new SentvecError('invalid-output', message, { file: path });
  }
  return manifest;
}

/** The bytes of `manifest.json`. */
export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

function parseManifest(text: string): Manifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const manifest = value as Partial<Manifest>;
  const sound =
    manifest.sentvec === 1 &&
    typeof manifest.complete === 'boolean' &&
    typeof manifest.fingerprint === 'string' &&
    Number.isSafeInteger(manifest.dimension) &&
    Array.isArray(manifest.shards) &&
    manifest.shards.every(isShardEntry);
  return sound ? (manifest as Manifest) : undefined;
}

/** A shard's file must be a plain name: a manifest from elsewhere may not lead out of its folder. */
function isShardEntry(entry: unknown): boolean {
  if (!isShardFile(entry)) return false;
  const { rows, companion } = entry as ShardEntry;
  return Number.isSafeInteger(rows) && rows >= 0 && (companion === undefined || isShardFile(companion));
}

function isShardFile(entry: unknown): entry is ShardFile {
  if (typeof entry !== 'object' || entry === null) return false;
  const { file, bytes, sha256 } = entry as Partial<ShardFile>;
  return (
    typeof file === 'string' &&
    /^shard-\d+[\w.]*$/.test(file) &&
    Number.isSafeInteger(bytes) &&
    typeof sha256 === 'string'
  );
}
