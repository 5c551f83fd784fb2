/** A page has no thread for it: it computes in the calling one. */
export { computeReference as computeLargeReference } from './compute-reference.ts';
