/** A library and configuration to measure. */
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
  /** Loads a model folder. */
  open(directory: string): Promise<OpenCandidate>;
}

/** A candidate with a loaded model. */
export interface OpenCandidate {
  /** Returns the final vectors as one row-major array. */
  embed(texts: readonly string[]): Promise<Float32Array>;
  close(): Promise<void>;
}
