// The entry point `@sentvec/architectures/onnx-files`, without the encoders, for programs that only load ONNX files.
export { bytesSource, checkGraph, type ByteSource } from './graph-check.ts';
export { configuredPositions } from './positions.ts';
export { findExternalFiles, findShippedFile, isDefaultFile, type ExternalFile } from './shipped-file.ts';
