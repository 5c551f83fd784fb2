// The entry @sentvec/core: everything that runs both in browsers and in Node. Local folders, the hub's cache and worker
// threads are in `@sentvec/core/node`.
export * from './errors.ts';
export type * from './types.ts';
export type * from './backend.ts';
export type * from './embedder/embedder-types.ts';
export type { TensorType } from './weights/safetensors-header.ts';
export { readWeights, type WeightLocation, type Weights } from './weights/read-weights.ts';
export { writeSafetensors, type WritableTensor } from './weights/write-safetensors.ts';
export { createPooling, poolingModes, termWeightsOutput, tokenPooling } from './pooling/pooling.ts';
export {
  definePooling,
  resolvePooling,
  type PoolingChoice,
  type PoolingFunctions,
  type PoolingPlugin,
} from './pooling/pooling-plugin.ts';
export { applyActivation, erf } from './projection/activation.ts';
export { outputSize as headOutputSize } from './projection/head.ts';
export { applyProjections, projectionOutputSize } from './projection/projection.ts';
export { countUnpooledTokens, maskForPooling, padBatch, planBatches, pooledTokens } from './embedder/batching.ts';
export { createEmbedder } from './embedder/embedder.ts';
export { withTask } from './weights/task-adapters.ts';
export { describeRole, type RoleDescription } from './embedder/describe-role.ts';
export { isDocumentTask, promptNameFor } from './embedder/text-role.ts';
export { rowOf } from './search/matrix-rows.ts';
export { readTokenizerDefinition, type TokenizerDefinition } from './tokenizer/definition.ts';
export { javaScriptTokenizer, type TokenizerLoader } from './tokenizer/javascript-tokenizer.ts';
export { refuseTokensWithoutWeights } from './tokenizer/tokens-without-weights.ts';
export { selfCheckIds, selfCheckText } from './self-check/self-check-batch.ts';
export {
  selfCheckFile,
  selfCheckFileOf,
  encodeSelfCheck,
  type SelfCheckValues,
} from './self-check/stored-self-check.ts';
export { cachedModel, type CachedModelOptions } from './model-folder/cached-model.ts';
export { cannotBeExternalData } from './model-folder/external-data.ts';
export { firstAvailable } from './embedder/first-available.ts';
export { loadEmbedder, type LoadEmbedderOptions } from './embedder/load-embedder.ts';
export { loadReranker, type LoadRerankerOptions } from './reranker/load-reranker.ts';
export { pairTokenizerOf } from './reranker/pair-tokenizer.ts';
export type * from './reranker/reranker-types.ts';
export { readRerankerFolder, type RerankerFolder } from './model-folder/reranker-folder.ts';
export { classificationHeadLayers, type HeadLayer } from './model-folder/classification-head.ts';
export { loadModel, type LoadedModel, type LoadModelOptions } from './load-model.ts';
export { communityDetection, type CommunityDetectionOptions } from './search/community-detection.ts';
export { pearsonCorrelation, ranks, spearmanCorrelation } from './search/correlation.ts';
export { embeddingSimilarity, type EmbeddingSimilarityMetrics } from './search/embedding-similarity.ts';
export { fuseRankings, type FuseOptions } from './search/fuse-rankings.ts';
export {
  deepestRank,
  informationRetrieval,
  retrievalMetricNames,
  retrievalMetrics,
  type InformationRetrievalOptions,
  type InformationRetrievalTask,
  type JudgedRanking,
  type RetrievalMetricOptions,
} from './search/information-retrieval.ts';
export { paraphraseMining, type ParaphraseMiningOptions, type ParaphrasePair } from './search/paraphrase-mining.ts';
export {
  quantizationRanges,
  quantize,
  quantizedPrecisions,
  type QuantizedMatrix,
  type QuantizedPrecision,
  type QuantizeOptions,
} from './search/quantization.ts';
export { searchQuantized, type QuantizedSearchOptions } from './search/quantized-search.ts';
export type { Chunks, ScanOptions } from './search/score-scan.ts';
export { semanticSearch, type SemanticSearchOptions } from './search/semantic-search.ts';
export { pairwiseSimilarity, similarity, similarityFunctions } from './search/similarity.ts';
export type { RankedDocument, SearchHit } from './search/top-rows.ts';
export {
  splitBySentences,
  splitByTokens,
  type SplitOptions,
  type SplittingModel,
  type TextPiece,
} from './embedder/text-pieces.ts';
export type * from './multi-vector/multi-vector-types.ts';
export {
  lateReading,
  loadMultiVectorEmbedder,
  type LoadMultiVectorEmbedderOptions,
} from './multi-vector/load-multi-vector-embedder.ts';
export {
  emptyDocumentScore,
  maxSimilarity,
  maxSimilarityScores,
  searchByMaxSimilarity,
  type DocumentVectors,
  type StoredMultiVectors,
  type MaxSimilarityOptions,
  type MaxSimilaritySearchOptions,
} from './multi-vector/max-similarity.ts';
export { joinMatrices, matrixOfText } from './multi-vector/multi-vectors.ts';
export { readMultiVectorFolder } from './multi-vector/read-multi-vector-folder.ts';
export { roleTokenizer } from './multi-vector/role-tokenizer.ts';
export { createMultiVectorEmbedder } from './multi-vector/multi-vector-embedder.ts';
export {
  quantizeTokens,
  tokenPrecisions,
  type QuantizedMultiVectors,
  type TokenPrecision,
} from './multi-vector/token-quantization.ts';
export { poolTokens } from './multi-vector/token-pooling.ts';
export { truncateEmbeddings, type TruncateOptions } from './search/truncation.ts';
export { readModelKind, type ModelKind } from './model-folder/model-kind.ts';
export { readModules, type ModelModule } from './model-folder/modules.ts';
export { readRoutes } from './model-folder/router-module.ts';
export { readSparseFolder, type SparseFolder, type SparseRoute } from './sparse/read-sparse-folder.ts';
export { loadSparseEmbedder, type LoadSparseEmbedderOptions } from './sparse/load-sparse-embedder.ts';
export type {
  EmbeddedSparse,
  EmbeddedSparseText,
  EmbedSparseOptions,
  EmbedSparseStreamOptions,
  SparseEmbedder,
  SparseRole,
  StreamedSparseVector,
  TermWeight,
} from './sparse/sparse-types.ts';
export { largestEntries, sparseDot, sparsevecText, type SparseVector } from './sparse/sparse-vector.ts';
export {
  createSparseIndex,
  type SparseIndex,
  type SparseIndexOptions,
  type SparseSearchOptions,
  type SparseVectors,
} from './sparse/sparse-index.ts';
export {
  createBm25Index,
  unicodeWords,
  type Bm25Index,
  type Bm25Options,
  type Bm25Settings,
  type Texts,
} from './sparse/bm25.ts';
export { loadStaticEmbedding } from './model-folder/static-embedding.ts';
export {
  readModelFolder,
  type EncoderPart,
  type HeadSource,
  type ModelFolder,
  type ModelFolderOptions,
  type ModelSettings,
} from './model-folder/read-model-folder.ts';
export { memoryModel, subfolder } from './model-folder/model-files.ts';
export { isObject, parseJson, readJson, readJsonObject } from './model-folder/json.ts';
export { hubUrlModel, type HubUrlModelOptions } from './hub/hub-url-model.ts';
export type { DownloadProgress } from './hub/download.ts';
export { urlModel, type UrlModelOptions } from './model-folder/url-model.ts';
