/** Texts to embed. */
export interface Workload {
  readonly name: string;
  /** A short description of the texts. */
  readonly description: string;
  /** Returns the texts in the order in which they are embedded. They are the same in every run. */
  texts(): Promise<readonly string[]>;
}
