/** A way to embed texts. */
export interface Candidate {
  readonly name: string;
  /** Loads a model's folder. */
  open(directory: string): Promise<OpenCandidate>;
}

/** A candidate that is ready. */
export interface OpenCandidate {
  /** The final vectors, one row after the other. */
  embed(texts: readonly string[]): Promise<Float32Array>;
  close(): Promise<void>;
}
