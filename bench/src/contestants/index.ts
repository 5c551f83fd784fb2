import type { Contestant } from '../contestant.ts';
import { sentvecOnnx } from './sentvec-onnx.ts';
import { transformersJs, transformersJsAllCores } from './transformers-js.ts';

/** All contestants; the others are compared with the first. */
export const contestants: readonly Contestant[] = [sentvecOnnx, transformersJs, transformersJsAllCores];
