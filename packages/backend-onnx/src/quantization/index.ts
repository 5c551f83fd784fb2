// The entry point `@sentvec/backend-onnx/quantization`. It is separate because it loads the architectures, which
// programs that only embed texts do not need.
export type { ModelPrecision, QuantizationProgress, QuantizeModelOptions } from './options.ts';
export type { QualityBar, QuantizationQuality } from './quality.ts';
export {
  quantizeModel,
  type QuantizationAttempt,
  type QuantizationReport,
  type QuantizedModel,
} from './quantize-model.ts';
