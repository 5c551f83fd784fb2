/** The syntax tree of a regular expression, and properties that can be computed from it. */
import type { CharacterTest } from './character-classes.ts';

/** A node of the tree of a regular expression. */
export type PatternNode =
  | { readonly kind: 'character'; readonly test: CharacterTest }
  | { readonly kind: 'sequence' | 'choice'; readonly nodes: readonly PatternNode[] }
  | {
      readonly kind: 'repeat';
      readonly node: PatternNode;
      readonly min: number;
      readonly max: number;
      readonly mode: 'greedy' | 'lazy' | 'possessive';
    }
  | { readonly kind: 'look'; readonly node: PatternNode; readonly behind: boolean; readonly negative: boolean }
  | { readonly kind: 'atomic'; readonly node: PatternNode }
  | { readonly kind: 'anchor'; readonly anchor: Anchor };

/** `^` and `$` match at every line; the others have their names in a pattern, without the backslash. */
export type Anchor = '^' | '$' | 'A' | 'Z' | 'z' | 'b' | 'B';

/** Whether a node contains a look-around, an atomic group, or a certain anchor. */
export function contains(node: PatternNode, kind: 'look' | 'atomic' | Anchor): boolean {
  if (
    node.kind === kind ||
    (node.kind === 'anchor' && node.anchor === kind) ||
    (kind === 'atomic' && node.kind === 'repeat' && node.mode === 'possessive')
  )
    return true;
  if (node.kind === 'sequence' || node.kind === 'choice') return node.nodes.some((part) => contains(part, kind));
  return 'node' in node && contains(node.node, kind);
}

/** The fewest and the most characters that a node matches. */
export function lengthOf(node: PatternNode): { readonly min: number; readonly max: number } {
  switch (node.kind) {
    case 'character':
      return { min: 1, max: 1 };
    case 'atomic':
      return lengthOf(node.node);
    case 'repeat': {
      const { min, max } = lengthOf(node.node);
      return { min: min * node.min, max: max === 0 ? 0 : max * node.max };
    }
    case 'sequence':
    case 'choice': {
      const lengths = node.nodes.map(lengthOf);
      const [min, max] = [lengths.map((length) => length.min), lengths.map((length) => length.max)];
      if (node.kind === 'choice') return { min: Math.min(...min), max: Math.max(...max) };
      return { min: sum(min), max: sum(max) };
    }
    default:
      return { min: 0, max: 0 };
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** For each ASCII character, 1 if a match may start with it; `undefined` when a match may be empty. */
export function firstCharactersOf(node: PatternNode): Uint8Array | undefined {
  if (lengthOf(node).min === 0) return undefined;
  switch (node.kind) {
    case 'character':
      return Uint8Array.from({ length: 128 }, (_, code) => Number(node.test(code)));
    case 'atomic':
    case 'repeat':
      return firstCharactersOf(node.node);
    case 'choice':
      return unionOf(node.nodes);
    case 'sequence': {
      const last = node.nodes.findIndex((part) => lengthOf(part).min > 0);
      return unionOf(
        node.nodes
          .slice(0, last + 1)
          .map((part) => (part.kind === 'repeat' ? part.node : part))
          .filter((part) => lengthOf(part).max > 0),
      );
    }
    default:
      return undefined;
  }
}

function unionOf(nodes: readonly PatternNode[]): Uint8Array | undefined {
  const firstCharacters = nodes.map(firstCharactersOf);
  if (firstCharacters.includes(undefined)) return undefined;
  return Uint8Array.from({ length: 128 }, (_, code) => Number(firstCharacters.some((start) => start![code] === 1)));
}

/**
 * Upper bound for the number of ways that a backtracking matcher tries at one position of a text of up to `length`
 * characters, before it fails.
 * @param isLast whether the rest of the pattern cannot fail, so that the first way is sufficient
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
      if (isLast || node.mode === 'possessive') return waysOf(node.node, length) ** Math.max(1, node.min);
      const inside = waysOf(node.node, length, false);
      const counts = Math.min(node.max, length) - node.min + 1;
      return inside === 1 ? counts : counts * inside ** Math.min(node.max, length);
    }
    default:
      return 1;
  }
}

function neverFails(node: PatternNode): boolean {
  if (node.kind === 'repeat') return node.min === 0;
  if (node.kind === 'sequence') return node.nodes.every(neverFails);
  return node.kind === 'choice' && node.nodes.some(neverFails);
}
