/** In a page, the reference is computed in the calling thread. */
export { computeReference as computeLargeReference } from './compute-reference.ts';
