/** The manifest of an output folder, `manifest.json`: its types, reading and formatting. Its shards: manifest-parts.ts. */
import { similarityFunctions, type Fingerprint, type SimilarityFunction } from '@sentvec/core';
import * as v from 'valibot';
import { jsonSchemas, readJsonFile } from './json-file.ts';
import { locationIn } from './location.ts';
import { choiceSchemas, type CorpusOptions, type InputFormat } from './request.ts';
import type { IdType } from './rows/row.ts';

/** The embedding space of vectors, and the model that it comes from. JSON. */
export interface Space {
  readonly model: string;
  readonly revision: string | null;
  readonly fingerprint: string;
  readonly fingerprintParts: Fingerprint['parts'];
  /** Number of entries of a vector, for any precision. */
  readonly dimension: number;
  readonly similarityFunction: SimilarityFunction;
  /** Set if the vectors are sparse. `dimension` is then the size of the vocabulary. @default dense vectors */
  readonly kind?: 'sparse' | undefined;
  /** The prompt that was put before each text; empty for none. Absent in manifests of earlier versions. */
  readonly prompt?: string | undefined;
  /** The route of the texts, for a model with a Router. */
  readonly route?: string | undefined;
  /** The task whose adapter was used, for a model with task adapters. */
  readonly task?: string | undefined;
}

/** Value ranges of each dimension, for quantization to int8 and uint8. JSON. */
export interface Calibration {
  /** The number of texts that the ranges were computed from: the first texts of the corpus. */
  readonly rows: number;
  /** Minimum and maximum of each dimension. */
  readonly lower: readonly number[];
  readonly upper: readonly number[];
}

/** A file of a shard. */
export interface ShardFile {
  /** Its name in the output folder. */
  readonly file: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** The shard of one chunk of the corpus. */
export interface ShardEntry extends ShardFile {
  /** The input of its rows: an index into {@link Manifest.inputs}. */
  readonly input: number;
  /** Index of the chunk's first row in the whole corpus. */
  readonly firstRow: number;
  /**
   * Identifies the source rows: a SHA-256 of the chunk's bytes (for CSV with the column names), for Parquet of its
   * values.
   */
  readonly content: string;
  /** Number of embedded rows of the chunk, including rows that were removed later. */
  readonly rows: number;
  /** Number of vectors, if rows were embedded in pieces. Absent: one vector per row. */
  readonly pieces?: number | undefined;
  /** Number of rejected rows of the chunk, which have no vector. */
  readonly rejected: number;
  /** Number of texts that were truncated to the maximum length of the model. */
  readonly truncated: number;
  readonly tokens: number;
  /** Name of the backend that computed it, if known. */
  readonly backend?: string | undefined;
  /** The file with ids and kept columns, if the format stores them separately. */
  readonly companion?: ShardFile | undefined;
  /** Rows that were removed or replaced later. They are still in the file, but readers skip them. */
  readonly removed?: RemovedRows | undefined;
}

/** The files of a shard. */
export function filesOf(shard: Omit<ShardEntry, 'input'>): readonly ShardFile[] {
  return shard.companion ? [shard, shard.companion] : [shard];
}

/** The vectors of a shard that were removed or replaced. */
export interface RemovedRows {
  readonly rows: number;
  /** Their indices in the shard, from 0, ascending. */
  readonly vectors: readonly number[];
}

/** A file that lists shards, a {@link ShardEntry} a line, where they are too many for the manifest. */
export interface ManifestPart extends ShardFile {
  /** Shards that it lists, and the bytes of their files. */
  readonly shards: number;
  readonly shardBytes: number;
  /** Number of its first row in the whole corpus. */
  readonly firstRow: number;
  /** Rows that were embedded, those of them that were removed since, and rows without a vector. */
  readonly rows: number;
  readonly removedRows: number;
  readonly rejected: number;
  /** Vectors that were not removed. */
  readonly vectors: number;
}

/** How many vectors of a shard were not removed. */
export function vectorsIn({ pieces, rows, removed }: Pick<ShardEntry, 'pieces' | 'rows' | 'removed'>): number {
  return (pieces ?? rows) - (removed?.vectors.length ?? 0);
}

/**
 * `manifest.json`: everything that a reader of the vectors needs. It has no timestamps or the like, so that equal runs
 * write equal bytes.
 */
export interface Manifest extends Space {
  /** Version of the manifest format. */
  readonly sentvec: 1;
  /** False for an unfinished run, whose shards are not listed. */
  readonly complete: boolean;
  /** In a store: the key of the run that will replace this output. */
  readonly run?: string | undefined;
  readonly precision: CorpusOptions['precision'];
  readonly format: CorpusOptions['format'];
  readonly idType: IdType;
  /** Number of embedded rows, without rows that were removed later. */
  readonly rows: number;
  /** Number of vectors, if rows were embedded in pieces. Absent: one vector per row. */
  readonly pieces?: number | undefined;
  /** Number of rejected rows, which have no vector. */
  readonly rejected: number;
  /**
   * The file with the rejected rows, one {@link RejectedRow} per line: `rejected.jsonl`, or another name if the
   * replaced output had a different file of this name. Absent in manifests of earlier versions.
   */
  readonly rejectedRows?: ShardFile | undefined;
  readonly truncated: number;
  readonly tokens: number;
  /**
   * Names of the backends that computed the shards, sorted. If workers with different backends shared the work, there
   * are several. Their vectors differ by rounding, so the bytes depend on which worker computed which shard.
   */
  readonly backends?: readonly string[] | undefined;
  readonly inputs: readonly { readonly file: string; readonly format: InputFormat; readonly bytes: number }[];
  readonly options: Omit<CorpusOptions, 'precision' | 'format'>;
  /** The ranges of the quantization to int8 or uint8. Absent for other precisions. */
  readonly calibration?: Calibration | undefined;
  /** Empty where they are too many for this file: see `parts`, and `shardsOf` for both. */
  readonly shards: readonly ShardEntry[];
  /** The files that list the shards, in order, where those are more than 4,096. */
  readonly parts?: readonly ManifestPart[] | undefined;
}

/** Name of the manifest in an output folder. */
export const manifestFile = 'manifest.json';

/** Name of the file with the rejected rows, one {@link RejectedRow} per line. `undefined` if no row was rejected. */
export function rejectedFileOf({ rejected, rejectedRows }: Manifest): string | undefined {
  return rejectedRows?.file ?? (rejected === 0 ? undefined : 'rejected.jsonl');
}

/** What the names of files that a manifest lists begin with. */
export const listedPrefixes = ['shard-', 'shards-', 'rejected.'] as const;

/** Whether a file name has the form of a shard or of a list of rejected rows. */
export function isListedName(name: string): boolean {
  return /^(shards?-[a-z]?\d{5,}\.[\w.]+|rejected(\.[0-9a-f]{16})?\.jsonl)$/u.test(name);
}

/**
 * A number as it is in names, which then sort as the numbers do: five digits, and from 100,000 on as many as it has,
 * after a letter that says how many.
 */
export function sortableNumber(index: number): string {
  const digits = String(index).padStart(5, '0');
  return digits.length === 5 ? digits : `${String.fromCharCode('a'.charCodeAt(0) + digits.length - 6)}${digits}`;
}

const shardNumber = /^shard-[a-z]?(\d+)/u;

/** Name of the shard of a chunk, without the ending. */
export function shardName(index: number): string {
  return `shard-${sortableNumber(index)}`;
}

/** The number in the name of a file of a shard. */
export function numberOfShard(file: string): number {
  return Number(shardNumber.exec(file)?.[1]);
}

/** The name of a file of a shard with another number. */
export function renumberShard(file: string, index: number): string {
  return file.replace(shardNumber, shardName(index));
}

/** Whether two manifests describe the same output. `run` is not compared. */
export function isSameOutput(one: Manifest, other: Manifest | undefined): boolean {
  const plain = (manifest: Manifest): string => formatManifest({ ...manifest, run: undefined });
  return other !== undefined && plain(one) === plain(other);
}

/**
 * Reads the manifest of an output folder. `undefined` if there is none.
 *
 * @throws SentvecError `invalid-output` when the file is not a manifest of sentvec; `io-failed`
 */
export async function readManifest(output: string): Promise<Manifest | undefined> {
  const remedy = 'Choose another folder. If a newer version of sentvec wrote it, use that version.';
  return readJsonFile(locationIn(output, manifestFile), manifestSchema, remedy);
}

/** The content of `manifest.json`. */
export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

const { count, strings } = jsonSchemas;

/** The entries of a {@link Space}. */
const spaceEntries = {
  model: v.string(),
  revision: v.nullable(v.string()),
  fingerprint: v.string(),
  fingerprintParts: v.object({
    weights: v.string(),
    tokenizer: v.string(),
    pooling: v.string(),
    projections: v.string(),
    prompt: v.string(),
    dimension: v.string(),
  }),
  dimension: count,
  similarityFunction: v.picklist(similarityFunctions),
  kind: v.optional(v.literal('sparse')),
  prompt: v.optional(v.string()),
  route: v.optional(v.string()),
  task: v.optional(v.string()),
};

const calibration: v.GenericSchema<Calibration> = v.object({
  rows: count,
  lower: v.array(v.number()),
  upper: v.array(v.number()),
});

const idType = v.picklist(['int64', 'string']);

const optionEntries = {
  inputFormat: choiceSchemas.requestedFormat,
  split: choiceSchemas.split,
  textField: v.string(),
  idField: v.nullable(v.string()),
  columns: strings,
  as: v.optional(choiceSchemas.as),
  prompt: v.union([v.object({ name: v.string() }), v.picklist(['default', 'none'])]),
  route: v.optional(v.string()),
  task: v.optional(v.string()),
  truncateDim: v.nullable(count),
  maxActiveDims: v.optional(count),
  normalize: v.boolean(),
  batchTokens: count,
  chunkRows: count,
  pieces: v.optional(
    v.object({
      maxTokens: count,
      overlapTokens: count,
      splitBy: choiceSchemas.splitBy,
      lateChunking: v.boolean(),
      mean: v.boolean(),
    }),
  ),
};

/** File names must have no path, so that an untrusted manifest cannot refer to files outside of its folder. */
const fileEntries = (name: RegExp, message: string) => ({
  file: v.pipe(v.string(), v.regex(name, message)),
  bytes: count,
  sha256: v.string(),
});

const shardFileEntries = fileEntries(/^shard-[a-z]?\d+[\w.]*$/, 'it is not the name of a shard file');

const shardEntries = {
  ...shardFileEntries,
  firstRow: count,
  content: v.string(),
  rows: count,
  pieces: v.optional(count),
  rejected: count,
  truncated: count,
  tokens: count,
  backend: v.optional(v.string()),
  companion: v.optional(v.object(shardFileEntries)),
  removed: v.optional(v.object({ rows: count, vectors: v.array(count) })),
};

/** Schemas that the manifest and the files of an unfinished run share. */
export const manifestSchemas: {
  readonly space: v.GenericSchema<Space>;
  readonly idType: v.GenericSchema<IdType>;
  readonly options: v.GenericSchema<CorpusOptions>;
  readonly calibration: v.GenericSchema<Calibration>;
  readonly shard: v.GenericSchema<Omit<ShardEntry, 'input'>>;
  readonly listedShard: v.GenericSchema<ShardEntry>;
} = {
  space: v.object(spaceEntries),
  idType,
  options: v.object({ ...optionEntries, precision: choiceSchemas.precision, format: choiceSchemas.format }),
  calibration,
  shard: v.object(shardEntries),
  listedShard: v.object({ ...shardEntries, input: count }),
};

const partSchema: v.GenericSchema<ManifestPart> = v.object({
  ...fileEntries(/^shards-[\w.]+$/, 'It is not the name of a list of shards.'),
  shards: count,
  shardBytes: count,
  firstRow: count,
  rows: count,
  removedRows: count,
  rejected: count,
  vectors: count,
});

const manifestEntries: v.GenericSchema<Manifest> = v.object({
  sentvec: v.literal(1),
  complete: v.boolean(),
  run: v.optional(v.string()),
  ...spaceEntries,
  precision: choiceSchemas.precision,
  format: choiceSchemas.format,
  idType,
  rows: count,
  pieces: v.optional(count),
  rejected: count,
  rejectedRows: v.optional(
    v.object(fileEntries(/^rejected\.[\w.]+$/, 'it is not the name of a list of rejected rows')),
  ),
  truncated: count,
  tokens: count,
  backends: v.optional(strings),
  inputs: v.array(v.object({ file: v.string(), format: choiceSchemas.inputFormat, bytes: count })),
  options: v.object(optionEntries),
  calibration: v.optional(calibration),
  shards: v.array(manifestSchemas.listedShard),
  parts: v.optional(v.array(partSchema)),
});

/** Checks that the shards, or parts, are consecutive, and that their sums equal the counts of the manifest. */
function isConsistent({ shards, parts, inputs, rows, rejected }: Manifest): boolean {
  if (parts !== undefined && shards.length > 0) return false;
  if (shards.some(({ input }) => input >= inputs.length)) return false;
  let next = 0;
  const total = { rows: 0, rejected: 0 };
  for (const each of parts ?? shards.map((shard) => ({ ...shard, removedRows: shard.removed?.rows ?? 0 }))) {
    if (each.firstRow !== next) return false;
    next += each.rows + each.rejected;
    total.rows += each.rows - each.removedRows;
    total.rejected += each.rejected;
  }
  return total.rows === rows && total.rejected === rejected;
}

const manifestSchema: v.GenericSchema<Manifest> = v.pipe(
  manifestEntries,
  v.check(isConsistent, 'the rows of its shards do not add up to its number of rows'),
);
