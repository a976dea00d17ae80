/// <reference lib="dom" />
/**
 * The page's elements by id, with their types.
 * @module
 */

/** @throws {Error} when the page has no such element: page and script do not fit. */
export function element<T extends Element>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`the page has no ${type.name} called ${id}`);
}

/** Lets the browser draw what was changed before something long begins. */
export async function drawn(): Promise<void> {
  await new Promise<void>((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    // Nothing is drawn in a tab that is not looked at, and work goes on there.
    setTimeout(resolve, 100);
  });
}

/** How far something long is: what is done, and its share from 0 to 1 where that is known. */
export type Report = (text: string, share?: number) => void;
