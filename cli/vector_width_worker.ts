/**
 * Tries the adapter in a worker of its own, whose end unloads the driver again: llvmpipe reads its
 * environment once for as long as it is loaded. Answers through the port that comes with the question.
 * @module
 */

import { readsTexturesRight } from "../src/bench/texture_reads.ts";
import { type AdapterChoice, isLlvmpipe, requestAdapter } from "../src/gpu/adapter.ts";

/** What is asked. */
export interface WidthQuestion {
  readonly adapter: AdapterChoice;
  /** Whether to compute something; else only the name is of interest. */
  readonly test: boolean;
}

/** What is answered. */
export interface WidthAnswer {
  /** The adapter's name; empty where there is none. */
  readonly description: string;
  /** Whether it computed right; true where it was not tested. */
  readonly right: boolean;
}

globalThis.addEventListener("message", async (event) => {
  const { data, ports: [port] } = event as MessageEvent<WidthQuestion>;
  port?.postMessage(await answer(data));
});

async function answer({ adapter: choice, test }: WidthQuestion): Promise<WidthAnswer> {
  const adapter = await requestAdapter(choice);
  const description = adapter?.info.description ?? "";
  if (!test || !adapter || !isLlvmpipe(description)) return { description, right: true };
  try {
    const device = await adapter.requestDevice({ label: "vector width" });
    const right = await readsTexturesRight(device);
    device.destroy();
    return { description, right };
  } catch {
    return { description, right: false };
  }
}
