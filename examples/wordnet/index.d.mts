/** A meaning, with the words that have it. */
export interface Synset {
  /** Part of speech (`n`, `v`, `a`, `r`) and number. */
  readonly id: string;
  readonly words: readonly string[];
  readonly definition: string;
  readonly examples: readonly string[];
  /** Ids of what it is a kind of. */
  readonly parents: readonly string[];
}

export function readSynsets(partsOfSpeech?: readonly ('noun' | 'verb' | 'adj' | 'adv')[]): Promise<Synset[]>;
export function ancestry(synsets: readonly Synset[]): Map<string, string[]>;
export function nearness(first: readonly string[], second: readonly string[]): number;

/** Two definitions, and how near their meanings are, 0 to 1. */
export interface ScoredDefinitions {
  readonly first: string;
  readonly second: string;
  readonly score: number;
}

export function scoredDefinitions(
  synsets: readonly Synset[],
  count: number,
  random: { readonly below: (count: number) => number },
): ScoredDefinitions[];
