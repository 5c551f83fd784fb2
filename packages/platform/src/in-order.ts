/**
 * Gives what some work makes of each item, in the order of the items, while the work on the next ones goes on: for calls
 * that wait for a network or a disk. Takes an item only when there is room for its work, and holds no more results.
 *
 * @param atOnce how many items are worked on at once
 * @throws what the work throws, for the first such item in order; the work on later ones is left to end by itself
 */
export async function* inOrder<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void> {
  const pending: Promise<Result>[] = [];
  for await (const item of items) {
    const result = work(item);
    // It is awaited later, perhaps never when an earlier one fails.
    result.catch(() => {});
    pending.push(result);
    if (pending.length >= atOnce) yield await pending.shift()!;
  }
  for (const result of pending) yield await result;
}
