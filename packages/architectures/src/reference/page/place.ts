import { computeReference } from '../compute-reference.ts';
import type { ComputePlace } from '../reference-place.ts';

/** In the calling thread. */
export const computePlace: ComputePlace = (files, batch) => computeReference(files, batch);
