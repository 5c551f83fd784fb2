/** A way to embed texts. */
export interface Candidate {
  readonly name: string;
  /**
   * Whether its vectors have to be those of the first candidate.
   * @default true
   */
  readonly isExact?: boolean;
  /**
   * How many of the texts it embeds, where all would take too long.
   * @default all
   */
  readonly texts?: number;
  /** Loads a model's folder. */
  open(directory: string): Promise<OpenCandidate>;
}

/** A candidate that is ready. */
export interface OpenCandidate {
  /** The final vectors, one row after the other. */
  embed(texts: readonly string[]): Promise<Float32Array>;
  close(): Promise<void>;
}
