import type { Candidate } from '../candidate.ts';
import { sentvecOnnx } from './sentvec-onnx.ts';
import { transformersJs, transformersJsAllCores, transformersJsBestBatch } from './transformers-js.ts';

/** All candidates. The first one is the reference for the others. */
export const candidates: readonly Candidate[] = [
  sentvecOnnx,
  transformersJs,
  transformersJsAllCores,
  transformersJsBestBatch,
];
