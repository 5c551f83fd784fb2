/** `manifest.json` of an output folder: its types, how it is read, and its bytes. */
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
  /** Entries of a vector, whatever its precision. */
  readonly dimension: number;
  readonly similarityFunction: SimilarityFunction;
  /** Set when the vectors are sparse: then `dimension` is the number of terms. @default dense vectors */
  readonly kind?: 'sparse' | undefined;
  /** What was put before each text; empty for nothing. Absent in manifests of earlier versions. */
  readonly prompt?: string | undefined;
  /** The route that the texts took, in a model with routes. */
  readonly route?: string | undefined;
  /** The task whose adapter was in the weights, in a model with adapters for tasks. */
  readonly task?: string | undefined;
}

/** Ranges of the entries of vectors, for the quantization to int8 and uint8. JSON. */
export interface Calibration {
  /** Texts that the ranges come from: the first of the corpus. */
  readonly rows: number;
  /** Smallest and largest value of each entry. */
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

/** What one chunk of the corpus has become. */
export interface ShardEntry extends ShardFile {
  /** The input that its rows come from: an index into {@link Manifest.inputs}. */
  readonly input: number;
  /** Number of the chunk's first row in the whole corpus. */
  readonly firstRow: number;
  /**
   * Identifies what it was made of: a SHA-256 of the chunk's bytes (in CSV with the names of columns), of its values in
   * Parquet.
   */
  readonly content: string;
  /** Rows of the chunk that were embedded, those that were removed since included. */
  readonly rows: number;
  /** Vectors of these rows, where rows were embedded in pieces. Absent: one for each row. */
  readonly pieces?: number | undefined;
  /** Rows of the chunk that have no vector. */
  readonly rejected: number;
  /** Texts that were cut to the model's length. */
  readonly truncated: number;
  readonly tokens: number;
  /** Name of the backend that computed it, where that is known. */
  readonly backend?: string | undefined;
  /** Ids and kept columns, where the format holds them in a file of their own. */
  readonly companion?: ShardFile | undefined;
  /** What was removed or replaced since: it is still in the file, but no reader returns it. */
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

/** How many vectors of a shard were not removed. */
export function vectorsIn({ pieces, rows, removed }: Pick<ShardEntry, 'pieces' | 'rows' | 'removed'>): number {
  return (pieces ?? rows) - (removed?.vectors.length ?? 0);
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
  /** In a store: the run that will replace it. */
  readonly run?: string | undefined;
  readonly precision: CorpusOptions['precision'];
  readonly format: CorpusOptions['format'];
  readonly idType: IdType;
  /** Rows that were embedded, and not removed since. */
  readonly rows: number;
  /** Their vectors in all shards, where rows were embedded in pieces. Absent: one for each row. */
  readonly pieces?: number | undefined;
  /** Rows without a vector. */
  readonly rejected: number;
  /**
   * The file that lists them, a {@link RejectedRow} a line: `rejected.jsonl`, unless the output that it replaced had
   * another one of this name. Absent in manifests of earlier versions.
   */
  readonly rejectedRows?: ShardFile | undefined;
  readonly truncated: number;
  readonly tokens: number;
  /**
   * Names of the backends that computed the shards, sorted. More than one when workers with different backends shared
   * the work: their vectors differ by rounding, and the bytes depend on who computed what.
   */
  readonly backends?: readonly string[] | undefined;
  readonly inputs: readonly { readonly file: string; readonly format: InputFormat; readonly bytes: number }[];
  readonly options: Omit<CorpusOptions, 'precision' | 'format'>;
  /** Ranges of the quantization to int8 and uint8; absent for other precisions. */
  readonly calibration?: Calibration | undefined;
  readonly shards: readonly ShardEntry[];
}

/** Name of the manifest in an output folder. */
export const manifestFile = 'manifest.json';

/**
 * Name of the file in an output folder that lists the rejected rows: a {@link RejectedRow} a line. `undefined` when no
 * row was rejected.
 */
export function rejectedFileOf({ rejected, rejectedRows }: Manifest): string | undefined {
  return rejectedRows?.file ?? (rejected === 0 ? undefined : 'rejected.jsonl');
}

/** Names of the files that a manifest lists. */
export function listedFiles(manifest: Manifest): string[] {
  const shards = manifest.shards.flatMap(filesOf).map(({ file }) => file);
  const rejected = rejectedFileOf(manifest);
  return rejected === undefined ? shards : [...shards, rejected];
}

/** Whether a name is one that sentvec gives to files that a manifest lists. */
export function isListedName(name: string): boolean {
  return /^(shard-\d{5,}\.[\w.]+|rejected(\.[0-9a-f]{16})?\.jsonl)$/u.test(name);
}

/** Whether two manifests are of the same output, whichever run is about to replace it. */
export function isSameOutput(one: Manifest, other: Manifest | undefined): boolean {
  const plain = (manifest: Manifest): string => formatManifest({ ...manifest, run: undefined });
  return other !== undefined && plain(one) === plain(other);
}

/**
 * The manifest of an output folder, or `undefined` when it has none.
 *
 * @throws SentvecError `invalid-output` when the file is not a manifest of sentvec, `io-failed`
 */
export async function readManifest(output: string): Promise<Manifest | undefined> {
  const remedy = 'Choose another folder. If a newer sentvec wrote it, read it with that one.';
  return readJsonFile(locationIn(output, manifestFile), manifestSchema, remedy);
}

/** The bytes of `manifest.json`. */
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

/** A file is a plain name, so that an untrusted manifest cannot name files outside of its folder. */
const fileEntries = (name: RegExp, message: string) => ({
  file: v.pipe(v.string(), v.regex(name, message)),
  bytes: count,
  sha256: v.string(),
});

const shardFileEntries = fileEntries(/^shard-\d+[\w.]*$/, 'It is not the name of a shard.');

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

/** Schemas of what the manifest and the files of an unfinished run have in common. */
export const manifestSchemas: {
  readonly space: v.GenericSchema<Space>;
  readonly idType: v.GenericSchema<IdType>;
  readonly options: v.GenericSchema<CorpusOptions>;
  readonly calibration: v.GenericSchema<Calibration>;
  readonly shard: v.GenericSchema<Omit<ShardEntry, 'input'>>;
} = {
  space: v.object(spaceEntries),
  idType,
  options: v.object({ ...optionEntries, precision: choiceSchemas.precision, format: choiceSchemas.format }),
  calibration,
  shard: v.object(shardEntries),
};

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
  rejectedRows: v.optional(v.object(fileEntries(/^rejected\.[\w.]+$/, 'It is not the name of such a list.'))),
  truncated: count,
  tokens: count,
  backends: v.optional(strings),
  inputs: v.array(v.object({ file: v.string(), format: choiceSchemas.inputFormat, bytes: count })),
  options: v.object(optionEntries),
  calibration: v.optional(calibration),
  shards: v.array(v.object({ ...shardEntries, input: count })),
});

/** The shards follow each other without gaps, and their sums are the counts of the manifest. */
function isConsistent({ shards, inputs, rows, rejected }: Manifest): boolean {
  let next = 0;
  const total = { rows: 0, rejected: 0 };
  for (const shard of shards) {
    if (shard.firstRow !== next || shard.input >= inputs.length) return false;
    next += shard.rows + shard.rejected;
    total.rows += shard.rows - (shard.removed?.rows ?? 0);
    total.rejected += shard.rejected;
  }
  return total.rows === rows && total.rejected === rejected;
}

const manifestSchema: v.GenericSchema<Manifest> = v.pipe(
  manifestEntries,
  v.check(isConsistent, 'Its shards do not add up to its rows.'),
);
