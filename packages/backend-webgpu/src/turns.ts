let last: Promise<unknown> = Promise.resolve();

/**
 * Does one thing after the other: the page's one onnxruntime loses its state when calls overlap while they wait for the
 * GPU.
 */
export function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = last.then(work);
  last = result.catch(() => {});
  return result;
}
