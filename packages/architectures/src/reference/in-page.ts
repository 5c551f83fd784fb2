/** On a web page, the reference is computed on the calling thread. */
export { computeReference as computeLargeReference } from './compute-reference.ts';
