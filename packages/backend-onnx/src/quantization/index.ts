// An entry of the package of its own: it loads the encoders, which a program that only embeds does not need.
export type { ModelPrecision, QuantizationProgress, QuantizeModelOptions } from './options.ts';
export type { QualityBar, QuantizationQuality } from './quality.ts';
export {
  quantizeModel,
  type QuantizationAttempt,
  type QuantizationReport,
  type QuantizedModel,
} from './quantize-model.ts';
