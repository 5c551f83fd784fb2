export { chunkBytes, type CorpusChunk } from './chunk.ts';
export { embedCorpus, type EmbedCorpusOptions } from './embed-corpus.ts';
export {
  manifestFile,
  readManifest,
  rejectedFile,
  type Manifest,
  type ShardEntry,
  type ShardFile,
} from './manifest.ts';
export { openEmbeddings, type EmbeddingBatch, type Embeddings } from './open-embeddings.ts';
export { CorpusProgress, type CorpusProgressEvent } from './progress.ts';
export { readTable, type ColumnName, type Table, type TableRequest } from './read-table.ts';
export type { Rejection, RejectionCode } from './rejection.ts';
export type { CorpusOptions, CorpusRequest, InputFormat, OutputFormat, Precision } from './request.ts';
export type { IdType, RowId } from './rows/row.ts';
export type { Calibration } from './run/calibration.ts';
export { openRun, type CorpusRun, type Space } from './run/corpus-run.ts';
export { differingParts } from './run/space.ts';
export type { Shard, ShardLayout, ShardVectors, Sink } from './sinks/sink.ts';
export { loadSink } from './sinks/sinks.ts';
export { commitCorpus } from './steps/commit-corpus.ts';
export { embedChunk, type ChunkResult, type EmbedChunkOptions } from './steps/embed-chunk.ts';
export { planCorpus } from './steps/plan-corpus.ts';
export { prepareCorpus, type PrepareCorpusOptions, type PreparedCorpus } from './steps/prepare-corpus.ts';
export { findInputs } from './sources/find-inputs.ts';
export type { FoundInput } from './sources/source.ts';
