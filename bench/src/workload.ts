/** Texts to embed. */
export interface Workload {
  readonly name: string;
  /** What the texts are like, in a few words. */
  readonly description: string;
  /** The texts, in the order in which they are embedded. The same in every run. */
  texts(): Promise<readonly string[]>;
}
