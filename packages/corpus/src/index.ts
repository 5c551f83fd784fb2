// @sentvec/corpus: embeds corpora into folders of vectors, and searches these folders.
export { chunkBytes, describeChunk, type CorpusChunk } from './chunk.ts';
export { embedCorpus, type EmbedCorpusOptions } from './embed-corpus.ts';
export { float32Text } from './sinks/float32-text.ts';
export { findInputs, type FoundInput } from './inputs/find-inputs.ts';
export {
  manifestFile,
  readManifest,
  rejectedFileOf,
  type Calibration,
  type Manifest,
  type ManifestPart,
  type RemovedRows,
  type ShardEntry,
  type ShardFile,
  type Space,
} from './manifest.ts';
export { shardsOf, shardTotals } from './manifest-parts.ts';
export { openEmbeddings, openSparseEmbeddings, type EmbeddingBatch, type Embeddings } from './open-embeddings.ts';
export {
  openIndex,
  type CorpusIndex,
  type IndexHit,
  type IndexSearchOptions,
  type OpenIndexOptions,
  type Ranker,
} from './search/open-index.ts';
export { buildApproximateIndex, type ApproximateIndexOptions } from './search/approximate-index.ts';
export type { CorpusProgressEvent } from './progress.ts';
export {
  readTable,
  sampleTexts,
  type ColumnName,
  type Table,
  type TableRequest,
  type TextSampleRequest,
} from './read-table.ts';
export { isRetrievalData, readRetrievalData, type RetrievalData, type RetrievalDataOptions } from './retrieval-data.ts';
export {
  choiceSchemas,
  corpusRequestSchema,
  type CorpusOptions,
  type CorpusPieces,
  type CorpusRequest,
  type InputFormat,
  type OutputFormat,
  type Precision,
} from './request.ts';
export type { RejectedRow, RejectedRowCode } from './rows/rejected-row.ts';
export type { IdType, RowId } from './rows/row.ts';
export { readCommitted } from './run/output-folder.ts';
export { openRun, type CorpusRun } from './run/corpus-run.ts';
export { differingParts, embedOptions, type CorpusEmbedder } from './run/space.ts';
export {
  loadSink,
  type Shard,
  type ShardLayout,
  type ShardVectors,
  type Sink,
  type SparseShardVectors,
} from './sinks/sink.ts';
export { commitCorpus } from './steps/commit-corpus.ts';
export { embedChunk, type ChunkResult, type EmbedChunkOptions } from './steps/embed-chunk.ts';
export { planCorpus } from './steps/plan-corpus.ts';
export { updateIndex, type IndexUpdate, type UpdateIndexOptions } from './update-index.ts';
export { verifyEmbeddings, type DamagedFile, type Verification, type VerifyOptions } from './verify-embeddings.ts';
export { prepareCorpus, type PrepareCorpusOptions, type PreparedCorpus } from './steps/prepare-corpus.ts';
