import { PairTable } from './pair-table.ts';

/** A trie over UTF-16 code units, which maps strings to numbers. */
export class Trie {
  /** The next node, for a node and a code unit. */
  readonly #next = new PairTable();
  /** The number of the string that ends at a node; -1 for none. */
  readonly #values: number[] = [-1];

  add(text: string, value: number): void {
    let node = 0;
    for (let index = 0; index < text.length; index += 1) {
      const unit = text.charCodeAt(index);
      const known = this.#next.get(node, unit);
      const next = known === -1 ? this.#values.push(-1) - 1 : known;
      if (known === -1) this.#next.set(node, unit, next);
      node = next;
    }
    if (node !== 0) this.#values[node] = value;
  }

  /** The next node for a node (0 is the root) and a code unit; -1 if there is none. */
  next(node: number, unit: number): number {
    return this.#next.get(node, unit);
  }

  /** The number of the string that ends at a node; -1 for none. */
  valueAt(node: number): number {
    return this.#values[node]!;
  }
}
