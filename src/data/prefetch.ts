/**
 * Loading ahead: while the GPU works on one item, the next is read and decoded.
 * @module
 */

/**
 * Yields `load(item)` for each item in order, with the next one already loading while the caller
 * works on the one it got. At most two items are in memory.
 * @throws what `load` throws, in its turn.
 */
export async function* prefetch<T, R>(
  items: Iterable<T>,
  load: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const iterator = items[Symbol.iterator]();
  const start = (): Promise<R> | undefined => {
    const next = iterator.next();
    if (next.done) return undefined;
    const loading = load(next.value);
    // Its turn to fail comes when it is awaited, unless the caller has stopped by then.
    loading.catch(() => undefined);
    return loading;
  };
  let current = start();
  while (current !== undefined) {
    const loaded = await current;
    current = start();
    yield loaded;
  }
}
