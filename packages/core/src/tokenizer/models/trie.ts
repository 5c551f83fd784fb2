import { PairTable } from './pair-table.ts';

/** Strings with a number each, to be found at a position of a text: a tree whose edges are UTF-16 code units. */
export class Trie {
  /** A node and a code unit lead to the next node. */
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

  /** The node that a code unit leads to from a node (0 is the root); -1 when no string continues like that. */
  next(node: number, unit: number): number {
    return this.#next.get(node, unit);
  }

  /** The number of the string that ends at a node; -1 for none. */
  valueAt(node: number): number {
    return this.#values[node]!;
  }
}
