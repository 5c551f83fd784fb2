// An entry of its own without the encoders: programs load it that need those only for a model without an ONNX file.
export { configuredPositions } from './positions.ts';
export { findShippedFile, type ShippedFile } from './shipped-file.ts';
