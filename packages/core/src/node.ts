export * from './node/cache-directory.ts';
export { cachedEmbedder } from './node/cached-embedder.ts';
export { openVectorCache, type VectorCache, type VectorCacheOptions } from './node/vector-cache.ts';
export { directoryModel, type DirectoryModelOptions } from './node/directory-model.ts';
export {
  loadEmbedder,
  loadModel,
  loadMultiVectorEmbedder,
  loadReranker,
  loadSparseEmbedder,
} from './node/load-models.ts';
export {
  openBm25Index,
  openSparseIndex,
  writeBm25Index,
  writeSparseIndex,
  type OpenSparseIndexOptions,
  type WriteSparseIndexOptions,
} from './node/index-folder.ts';
export {
  openMultiVectors,
  writeMultiVectors,
  type OpenMultiVectorsOptions,
  type WriteMultiVectorsOptions,
} from './node/multi-vector-folder.ts';
export { nodeTokenizer } from './node/node-tokenizer.ts';
export type { TokenizerLibrary } from './node/tokenizer-messages.ts';
export { openModel, type OpenModelOptions } from './node/open-model.ts';
export { copyBatch, sharedProjection } from './node/thread-values.ts';
export { hubModel, type HubModelOptions } from './node/hub/hub-model.ts';
