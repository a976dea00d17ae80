/**
 * What the page and its host agree on: networks lie in a folder beside the page, with a list.
 * @module
 */

/** Where the page's host offers networks, relative to the page. */
export const SERVED_FOLDER = "checkpoints/";

/** The list of them: `ServedModel[]` as JSON. */
export const SERVED_LIST: string = `${SERVED_FOLDER}index.json`;

/** What names of network files end with. */
export const MODEL_ENDINGS: readonly string[] = [".safetensors", ".pth", ".pt"];

/** A network that the page's host offers. */
export interface ServedModel {
  readonly name: string;
  readonly bytes: number;
}
