/** A way to embed texts. */
export interface Contestant {
  readonly name: string;
  /** Loads a model's folder. */
  open(directory: string): Promise<OpenContestant>;
}

/** A contestant that is ready. */
export interface OpenContestant {
  /** The final vectors, one row after the other. */
  embed(texts: readonly string[]): Promise<Float32Array>;
  close(): Promise<void>;
}
