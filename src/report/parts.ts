/**
 * Pieces that several pages are made of, and their style.
 * @module
 */
import { escapeHtml } from "./html.ts";

/** Rules for the pieces below. */
export const PARTS_STYLE = `
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(6.5rem,1fr));gap:.7rem;margin:1.2rem 0}
.tiles b{display:block;font-size:1.6rem;line-height:1.25}
@media (max-width:30rem){.tiles{grid-template-columns:1fr 1fr}.tiles .card{padding:.6rem .8rem}}
.swatch{flex:none;width:1.05rem;height:1.05rem;border-radius:.25rem;
border:1px solid color-mix(in srgb,var(--text) 35%,transparent);display:inline-block}
.bar{height:.5rem;border-radius:.25rem;background:var(--accent-soft);overflow:hidden}
.bar i{display:block;height:100%;min-width:2px;border-radius:.25rem;background:var(--accent)}
.bar i.none{min-width:0}
.legend{display:flex;flex-wrap:wrap;gap:.35rem 1rem;margin:.6rem 0;font-size:.92rem}
.legend span{display:inline-flex;gap:.4rem;align-items:center;min-width:0;overflow-wrap:anywhere}
.slider{display:flex;gap:.8rem;align-items:center;flex-wrap:wrap;margin:.6rem 0 1rem}
.slider[hidden]{display:none}
.slider input{flex:1 1 10rem;max-width:22rem;accent-color:var(--accent);height:2rem}
figure{margin:0}
.picture{position:relative;border-radius:.5rem;overflow:hidden;border:1px solid var(--line);
background:var(--card)}
.picture img{display:block;width:100%;height:auto}
.picture img.over{position:absolute;inset:0;height:100%;opacity:var(--mask,.5);image-rendering:pixelated}
figcaption{font-size:.86rem;padding:.35rem .1rem;overflow-wrap:anywhere}
figcaption .swatch{width:.8rem;height:.8rem;vertical-align:-.08rem;margin-right:.25rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:1rem}
.facts h3{font-size:1rem;margin:.1rem 0 .4rem}
.facts dl{display:grid;grid-template-columns:minmax(0,auto) minmax(0,1fr);gap:.15rem 1rem;margin:0}
.facts dt{color:var(--soft)}.facts dd{margin:0;text-align:right;overflow-wrap:anywhere}
`;

/** Makes {@linkcode maskSlider} work. Without a script the masks stay half transparent. */
export const SLIDER_SCRIPT = `
const slider=document.getElementById("mask");
if(slider){slider.parentElement.hidden=false;
slider.addEventListener("input",()=>document.documentElement.style.setProperty("--mask",slider.value/100))}
`;

/** Facts under a heading: a name and a value a row. */
export interface FactList {
  readonly title: string;
  readonly rows: readonly (readonly [string, string])[];
}

/** Large numbers with what they are below. */
export function tiles(all: readonly (readonly [value: string, name: string])[]): string {
  return `<div class="tiles">${
    all.map(([value, name]) =>
      `<div class="card"><b class="num">${escapeHtml(value)}</b><span class="soft">${
        escapeHtml(name)
      }</span></div>`
    ).join("")
  }</div>`;
}

/** A square of a class's colour. */
export function swatch([r, g, b]: readonly [number, number, number]): string {
  return `<span class="swatch" style="background:rgb(${r},${g},${b})"></span>`;
}

/** The classes' names beside their colours. */
export function legend(
  classes: readonly { readonly name: string; readonly colour: readonly [number, number, number] }[],
): string {
  return `<div class="legend">${
    classes.map(({ name, colour }) => `<span>${swatch(colour)}${escapeHtml(name)}</span>`).join("")
  }</div>`;
}

/** A slider between the photos and what lies over them. */
export function maskSlider(): string {
  return `<label class="slider" hidden>photo <input id="mask" type="range" min="0" max="100" value="50"> mask</label>`;
}

/** Cards of facts. */
export function factCards(facts: readonly FactList[]): string {
  return `<div class="facts">${
    facts.map(({ title, rows }) =>
      `<div class="card"><h3>${escapeHtml(title)}</h3><dl>${
        rows.map(([name, value]) =>
          `<dt>${escapeHtml(name)}</dt><dd class="value">${escapeHtml(value)}</dd>`
        ).join("")
      }</dl></div>`
    ).join("")
  }</div>`;
}

/** A whole number as people read it. */
export const count = (value: number): string => value.toLocaleString("en");

/** A share in percent with as many digits as tell it from nothing. */
export function percent(share: number): string {
  const value = 100 * share;
  if (value === 0) return "0 %";
  if (value < 0.01) return "< 0.01 %";
  return `${value < 1 ? value.toFixed(2) : value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}
