// An entry of the package without the encoders, which a program needs only for models without an ONNX file.
export { bytesSource, checkGraph, type ByteSource } from './graph-check.ts';
export { configuredPositions } from './positions.ts';
export { findExternalFiles, findShippedFile, isUsualFile, type ExternalFile } from './shipped-file.ts';
