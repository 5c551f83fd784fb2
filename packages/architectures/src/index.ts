export * from './activations.ts';
export * from './derived-operations.ts';
export * from './dimensions.ts';
export * from './immediate-control.ts';
export { gradients, Tape, type ValueAndGradients } from './differentiation/tape.ts';
export type { Tracked } from './differentiation/tracked-operations.ts';
export { constantWeights, encode, type EncoderDefinition, readEncoder } from './encoders/definition.ts';
export type { EncoderInputs, EncoderNetwork, WeightDeclaration, WeightLookup } from './encoders/network.ts';
export { encoderNetwork, modelTypes } from './encoders/registry.ts';
export type { SplitModel } from './onnx/model.ts';
export { hasHalfPrecisionWeights } from './onnx-files/graph-contents.ts';
export * from './onnx-files/index.ts';
export { quantizedLinear, type LinearWeight } from './onnx/quantized-linear.ts';
export { OnnxRecorder, type RecorderOptions } from './onnx/recorder.ts';
export type { OnnxTensor } from './onnx/graph-builder.ts';
export type * from './operations.ts';
export { checkTokens, type EncoderSizes, ImmediateEncoder } from './immediate-encoder.ts';
export { plainBackend } from './plain-backend.ts';
export { plainOperations, plainOperationsIn } from './plain/operations.ts';
export { plainIndices, type PlainTensor, plainTensor } from './plain/tensor.ts';
export type { WeightBits } from './quantization/integers.ts';
export {
  remedies,
  type ChannelRanges,
  type InputQuantization,
  type QuantizationPlan,
  type Remedy,
} from './quantization/plan.ts';
export {
  recordCalibration,
  recordTrials,
  type CalibrationGraph,
  type LinearInput,
} from './quantization/record-calibration.ts';
export { recordCompactEncoder, recordQuantizedEncoder } from './quantization/record-quantized.ts';
export { recordEncoder, recordLinkedEncoder, recordSplitEncoder } from './record-encoder.ts';
export { plainReference, selfCheckContent } from './reference/plain-reference.ts';
