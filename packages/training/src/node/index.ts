export { readCheckpoint, writeCheckpoint } from './checkpoint-file.ts';
export { loadTrainable, type LoadedTrainable } from './load-trainable.ts';
export { onnxEngine, type OnnxEngineOptions } from './onnx-engine.ts';
