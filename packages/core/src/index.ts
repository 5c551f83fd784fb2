export * from './errors.ts';
export type * from './types.ts';
export type * from './embedder-types.ts';
export * from './safetensors.ts';
export { createPooling, poolingModes } from './pooling.ts';
export {
  definePooling,
  resolvePooling,
  type PoolingChoice,
  type PoolingFunctions,
  type PoolingPlugin,
} from './pooling-plugin.ts';
export { applyActivation, erf } from './activation.ts';
export { applyProjections, projectionOutputSize } from './projection.ts';
export { createEmbedder, type EmbedderParts } from './embedder.ts';
export { rowOf } from './matrix-rows.ts';
export { memoryModel } from './model-files.ts';
export { readTokenizerDefinition, type TokenizerDefinition } from './tokenizer/definition.ts';
export { javaScriptTokenizer, type TokenizerLoader } from './tokenizer/javascript-tokenizer.ts';
export { canaryIds, canaryText } from './canary/canary-batch.ts';
export { canaryFile, encodeCanary, type CanaryValues } from './canary/stored-canary.ts';
export { cachedModel, type CachedModelOptions } from './cached-model.ts';
export { firstAvailable } from './first-available.ts';
export { loadEmbedder, type LoadEmbedderOptions } from './load-embedder.ts';
export { communityDetection, type CommunityDetectionOptions } from './community-detection.ts';
export { pearsonCorrelation, ranks, spearmanCorrelation } from './correlation.ts';
export { embeddingSimilarity, type EmbeddingSimilarityMetrics } from './embedding-similarity.ts';
export {
  informationRetrieval,
  type InformationRetrievalOptions,
  type InformationRetrievalTask,
} from './information-retrieval.ts';
export { paraphraseMining, type ParaphraseMiningOptions, type ParaphrasePair } from './paraphrase-mining.ts';
export {
  quantizationRanges,
  quantize,
  quantizedPrecisions,
  type QuantizedMatrix,
  type QuantizedPrecision,
  type QuantizeOptions,
} from './quantization.ts';
export { searchQuantized, type QuantizedSearchOptions } from './quantized-search.ts';
export type { Chunks, ScanOptions } from './score-scan.ts';
export { semanticSearch, type SemanticSearchOptions } from './semantic-search.ts';
export { pairwiseSimilarity, similarity, similarityFunctions } from './similarity.ts';
export type { SearchHit } from './top-rows.ts';
export { splitByTokens, type SplitByTokensOptions } from './text-pieces.ts';
export { truncateEmbeddings, type TruncateOptions } from './truncation.ts';
export { loadStaticEmbedding } from './static-embedding.ts';
export {
  readModelFolder,
  type EncoderPart,
  type ModelFolder,
  type ModelFolderOptions,
  type ModelSettings,
} from './model-folder/read-model-folder.ts';
export { subfolder } from './model-folder/subfolder.ts';
export { hubUrlModel, type HubUrlModelOptions } from './hub/hub-url-model.ts';
export type { DownloadProgress } from './hub/download.ts';
export { urlModel, type UrlModelOptions } from './url-model.ts';
