import type { BenchModel } from '../bench-model.ts';
import { miniLm } from './mini-lm.ts';
import { useLite } from './use-lite.ts';

/** All models. */
export const models: readonly BenchModel[] = [miniLm, useLite];
