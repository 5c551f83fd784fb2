import type { Candidate } from '../candidate.ts';
import { sentvecOnnx } from './sentvec-onnx.ts';
import { transformersJs, transformersJsAllCores, transformersJsBestBatch } from './transformers-js.ts';

/** All candidates; the others are compared with the first. */
export const candidates: readonly Candidate[] = [
  sentvecOnnx,
  transformersJs,
  transformersJsAllCores,
  transformersJsBestBatch,
];
