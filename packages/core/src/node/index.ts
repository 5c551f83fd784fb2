export * from './cache-directory.ts';
export { directoryModel, type DirectoryModelOptions } from './directory-model.ts';
export { loadEmbedder } from './load-embedder.ts';
export { nodeTokenizer } from './node-tokenizer.ts';
export type { TokenizerLibrary } from './tokenizer-messages.ts';
export { openModel, type OpenModelOptions } from './open-model.ts';
export { sharedProjection } from './shared-projection.ts';
export { hubModel, type HubModelOptions } from './hub/hub-model.ts';
