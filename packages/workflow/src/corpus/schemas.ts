/** The values that pass between the steps of the workflow that embeds a corpus: types and schemas. */
import { choiceSchemas, corpusRequestSchema, type CorpusChunk, type CorpusRequest } from '@sentvec/corpus';
import * as v from 'valibot';

/** The input of the workflow. */
export interface EmbedCorpusInput {
  /** A folder, a name on the hub, or `use-lite`. It is passed to `embedder` of the executing process. */
  readonly model: string;
  /**
   * Of the model, where workers say what they serve: see `NeededModel`.
   * @default that of the worker that started last
   */
  readonly fingerprint?: string | undefined;
  readonly request: CorpusRequest;
}

/** A prepared output folder. */
export interface PreparedRequest {
  readonly model: string;
  readonly output: string;
  /** Key of the run in the output folder. */
  readonly key: string;
  /** Fingerprint of the embedding space. It also identifies the committed manifest. */
  readonly fingerprint: string;
  readonly totalBytes: number;
  /** Whether the output is already complete, so there is nothing to embed. */
  readonly finished: boolean;
}

/** A chunk to embed. */
export interface PlannedChunk extends Pick<PreparedRequest, 'model' | 'output' | 'key' | 'fingerprint'> {
  readonly chunk: CorpusChunk;
}

/** The counts of an embedded chunk, which are added to the total. */
export interface EmbeddedChunk {
  readonly rows: number;
  readonly rejected: number;
  readonly truncated: number;
  readonly tokens: number;
  readonly bytes: number;
  /** Whether its shard was finished before, so nothing was computed. */
  readonly reused: boolean;
}

/** The sum over all finished chunks. */
export interface CorpusTotal extends Omit<EmbeddedChunk, 'reused'> {
  /** How many of `rows` and `bytes` belong to shards that were finished before. Subtract them to compute the speed. */
  readonly reusedRows: number;
  readonly reusedBytes: number;
}

/** The result of a run. */
export interface CommittedCorpus {
  /** The output folder. */
  readonly output: string;
  readonly fingerprint: string;
  readonly rows: number;
  readonly rejected: number;
  readonly truncated: number;
  readonly tokens: number;
  readonly shards: number;
}

/** The total before the first chunk. */
export const emptyTotal: CorpusTotal = {
  rows: 0,
  rejected: 0,
  truncated: 0,
  tokens: 0,
  bytes: 0,
  reusedRows: 0,
  reusedBytes: 0,
};

/** Adds a chunk to the total. */
export function addChunk(total: CorpusTotal, chunk: EmbeddedChunk): CorpusTotal {
  const { rows, bytes, reused } = chunk;
  return {
    rows: total.rows + rows,
    rejected: total.rejected + chunk.rejected,
    truncated: total.truncated + chunk.truncated,
    tokens: total.tokens + chunk.tokens,
    bytes: total.bytes + bytes,
    reusedRows: total.reusedRows + (reused ? rows : 0),
    reusedBytes: total.reusedBytes + (reused ? bytes : 0),
  };
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(4096));
const fingerprint = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{8,64}$/, 'must be a fingerprint, or at least its first 8 hexadecimal digits'),
);
const key = v.pipe(v.string(), v.regex(/^[0-9a-f]{8,64}$/));

const prepared: v.GenericSchema<PreparedRequest> = v.strictObject({
  model: name,
  output: name,
  key,
  fingerprint: v.string(),
  totalBytes: count,
  finished: v.boolean(),
});

const chunk: v.GenericSchema<CorpusChunk> = v.strictObject({
  index: count,
  input: name,
  path: name,
  file: v.strictObject({
    bytes: count,
    modified: v.number(),
    changed: v.number(),
    inode: v.number(),
    version: v.optional(v.pipe(v.string(), v.maxLength(1024))),
  }),
  format: choiceSchemas.inputFormat,
  content: v.pipe(v.string(), v.maxLength(128)),
  start: count,
  end: count,
  firstRow: count,
  firstInputRow: count,
  rows: count,
  firstLine: count,
  bytes: count,
});

const counts = { rows: count, rejected: count, truncated: count, tokens: count };
const total: v.GenericSchema<CorpusTotal> = v.strictObject({
  ...counts,
  bytes: count,
  reusedRows: count,
  reusedBytes: count,
});

/** Schemas of all values that pass between steps. */
export const schemas: {
  readonly input: v.GenericSchema<EmbedCorpusInput>;
  readonly prepared: v.GenericSchema<PreparedRequest>;
  readonly planned: v.GenericSchema<PlannedChunk>;
  readonly embedded: v.GenericSchema<EmbeddedChunk>;
  readonly forEachResult: v.GenericSchema<{ input: PreparedRequest; count: number; total: CorpusTotal }>;
  readonly committed: v.GenericSchema<CommittedCorpus>;
} = {
  input: v.strictObject({ model: name, fingerprint: v.optional(fingerprint), request: corpusRequestSchema }),
  prepared,
  planned: v.strictObject({ model: name, output: name, key, fingerprint: v.string(), chunk }),
  embedded: v.strictObject({ ...counts, bytes: count, reused: v.boolean() }),
  forEachResult: v.strictObject({ input: prepared, count, total }),
  committed: v.strictObject({ output: v.string(), fingerprint: v.string(), ...counts, shards: count }),
};
