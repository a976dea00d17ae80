/// <reference lib="dom" />
/**
 * The legend: the classes that occur, each with its colour, its share of the photo and a switch.
 * @module
 */
import { element } from "./elements.ts";
import type { Mask, Rgb } from "./view.ts";

/** Shows the classes of a mask and which of them are wanted. */
export class Legend {
  /** Ids that are not to be shown; kept from mask to mask of one network. */
  readonly hidden = new Set<number>();
  readonly #list = element("legend", HTMLUListElement);
  readonly #absent = element("absent", HTMLElement);
  readonly #onChange: () => void;

  /** @param onChange Called when other classes are wanted. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
    element("show-all", HTMLButtonElement).addEventListener("click", () => this.#setAll(true));
    element("show-none", HTMLButtonElement).addEventListener("click", () => this.#setAll(false));
  }

  /** Lists the classes that occur in `mask`, the most frequent first. */
  show(mask: Mask, names: readonly string[]): void {
    const counts = new Float64Array(256);
    for (const id of mask.data) counts[id] = (counts[id] ?? 0) + 1;
    const ids = names.map((_, id) => id);
    const present = ids.filter((id) => (counts[id] ?? 0) > 0);
    present.sort((a, b) => (counts[b] ?? 0) - (counts[a] ?? 0));
    this.#list.replaceChildren(...present.map((id) =>
      this.#row(
        id,
        names[id] ?? "",
        mask.palette[id] ?? [0, 0, 0],
        (counts[id] ?? 0) / mask.data.length,
      )
    ));
    const absent = ids.filter((id) => !present.includes(id)).map((id) => names[id]);
    this.#absent.textContent = `Not in this photo: ${absent.join(", ")}`;
    this.#absent.hidden = absent.length === 0;
  }

  #row(id: number, name: string, colour: Rgb, share: number): HTMLLIElement {
    const row = document.createElement("li");
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = !this.hidden.has(id);
    box.dataset.id = String(id);
    box.addEventListener("change", () => {
      this.#set(id, box.checked);
      this.#onChange();
    });
    const text = document.createElement("span");
    text.textContent = name;
    const percent = document.createElement("output");
    percent.textContent = shareText(share);
    label.append(box, swatch(colour), text, percent);
    row.append(label);
    return row;
  }

  #set(id: number, wanted: boolean): void {
    if (wanted) this.hidden.delete(id);
    else this.hidden.add(id);
  }

  #setAll(wanted: boolean): void {
    for (const box of this.#list.querySelectorAll("input")) {
      box.checked = wanted;
      this.#set(Number(box.dataset.id), wanted);
    }
    this.#onChange();
  }
}

/** A square in a class colour; an attribute, since the page allows no style attributes. */
function swatch(colour: Rgb): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 1 1");
  svg.setAttribute("aria-hidden", "true");
  const square = document.createElementNS(space, "rect");
  for (const side of ["width", "height"]) square.setAttribute(side, "1");
  square.setAttribute("fill", `rgb(${colour.join()})`);
  svg.append(square);
  return svg;
}

function shareText(share: number): string {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(share * 100).toFixed(1)} %`;
}
