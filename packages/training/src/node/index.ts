export { onnxEngine, type OnnxEngineOptions } from './onnx-engine.ts';
