/** The tree of a regular expression, and what can be told from it without a text. */
import type { CharacterTest } from './character-classes.ts';

/** A node of the tree of a regular expression. */
export type PatternNode =
  | { readonly kind: 'character'; readonly test: CharacterTest }
  | { readonly kind: 'sequence' | 'choice'; readonly nodes: readonly PatternNode[] }
  | {
      readonly kind: 'repeat';
      readonly node: PatternNode;
      readonly least: number;
      readonly most: number;
      readonly mode: 'greedy' | 'lazy' | 'possessive';
    }
  | { readonly kind: 'look'; readonly node: PatternNode; readonly behind: boolean; readonly negative: boolean }
  | { readonly kind: 'atomic'; readonly node: PatternNode }
  | { readonly kind: 'anchor'; readonly anchor: Anchor };

/** `^` and `$` are at every line; the others are called as in a pattern, after the backslash. */
export type Anchor = '^' | '$' | 'A' | 'Z' | 'z' | 'b' | 'B';

/** Whether there is a look-around in a node, a group that gives nothing back, or an anchor. */
export function holds(node: PatternNode, kind: 'look' | 'atomic' | Anchor): boolean {
  if (
    node.kind === kind ||
    (node.kind === 'anchor' && node.anchor === kind) ||
    (kind === 'atomic' && node.kind === 'repeat' && node.mode === 'possessive')
  )
    return true;
  if (node.kind === 'sequence' || node.kind === 'choice') return node.nodes.some((part) => holds(part, kind));
  return 'node' in node && holds(node.node, kind);
}

/** The fewest and the most characters that a node matches. */
export function lengthOf(node: PatternNode): { readonly least: number; readonly most: number } {
  switch (node.kind) {
    case 'character':
      return { least: 1, most: 1 };
    case 'atomic':
      return lengthOf(node.node);
    case 'repeat': {
      const { least, most } = lengthOf(node.node);
      return { least: least * node.least, most: most === 0 ? 0 : most * node.most };
    }
    case 'sequence':
    case 'choice': {
      const lengths = node.nodes.map(lengthOf);
      const [least, most] = [lengths.map((length) => length.least), lengths.map((length) => length.most)];
      if (node.kind === 'choice') return { least: Math.min(...least), most: Math.max(...most) };
      return { least: sum(least), most: sum(most) };
    }
    default:
      return { least: 0, most: 0 };
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Which characters of ASCII a match may start with; `undefined` where it may be empty. */
export function startsOf(node: PatternNode): Uint8Array | undefined {
  if (lengthOf(node).least === 0) return undefined;
  switch (node.kind) {
    case 'character':
      return Uint8Array.from({ length: 128 }, (_, code) => Number(node.test(code)));
    case 'atomic':
    case 'repeat':
      return startsOf(node.node);
    case 'choice':
      return united(node.nodes);
    case 'sequence': {
      const last = node.nodes.findIndex((part) => lengthOf(part).least > 0);
      return united(
        node.nodes
          .slice(0, last + 1)
          .map((part) => (part.kind === 'repeat' ? part.node : part))
          .filter((part) => lengthOf(part).most > 0),
      );
    }
    default:
      return undefined;
  }
}

function united(nodes: readonly PatternNode[]): Uint8Array | undefined {
  const starts = nodes.map(startsOf);
  if (starts.includes(undefined)) return undefined;
  return Uint8Array.from({ length: 128 }, (_, code) => Number(starts.some((start) => start![code] === 1)));
}

/**
 * How many ways of matching a backtracking matcher may try from one position, in texts of up to `length` characters, before
 * it knows that none leads on.
 * @param isLast whether what follows cannot fail, so that the first way will do
 */
export function waysOf(node: PatternNode, length: number, isLast = true): number {
  switch (node.kind) {
    case 'choice':
      return sum(node.nodes.map((part) => waysOf(part, length, isLast)));
    case 'atomic':
    case 'look':
      return waysOf(node.node, length);
    case 'sequence': {
      let ways = 1;
      let last = isLast;
      for (const part of node.nodes.toReversed()) {
        ways *= waysOf(part, length, last);
        last &&= neverFails(part);
      }
      return ways;
    }
    case 'repeat': {
      if (isLast || node.mode === 'possessive') return waysOf(node.node, length) ** Math.max(1, node.least);
      const inside = waysOf(node.node, length, false);
      const counts = Math.min(node.most, length) - node.least + 1;
      return inside === 1 ? counts : counts * inside ** Math.min(node.most, length);
    }
    default:
      return 1;
  }
}

function neverFails(node: PatternNode): boolean {
  if (node.kind === 'repeat') return node.least === 0;
  if (node.kind === 'sequence') return node.nodes.every(neverFails);
  return node.kind === 'choice' && node.nodes.some(neverFails);
}
