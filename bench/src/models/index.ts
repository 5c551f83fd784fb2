import type { BenchModel } from '../bench-model.ts';
import { miniLm } from './mini-lm.ts';

/** All models. */
export const models: readonly BenchModel[] = [miniLm];
