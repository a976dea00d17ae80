/**
 * Line charts as SVG inside a page: colours follow light and dark, points tell their values when
 * touched by a pointer.
 * @module
 */
import { escapeHtml } from "./html.ts";

/** Where a line goes. */
export type Point = readonly [x: number, y: number];

/** A line of a chart. */
export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  /** 1 to 4, of the page's series colours. */
  readonly colour: 1 | 2 | 3 | 4;
  /** Thin and pale: detail behind another line, and not in the legend. */
  readonly faint?: boolean;
}

/** A chart. */
export interface Chart {
  readonly title: string;
  readonly series: readonly Series[];
  /** Range of x, at least. */
  readonly x: readonly [number, number];
  /** Range of y, at least; by default that of the lines. */
  readonly y?: readonly [number, number];
  /** A value of y in the legend and where a pointer touches a point. */
  readonly format: (y: number) => string;
  /** An epoch to mark. */
  readonly mark?: { readonly x: number; readonly name: string } | undefined;
}

/** Rules for charts. */
export const CHART_STYLE = `
:root{--line1:#2563c9;--line2:#c2570c;--line3:#178a4c;--line4:#8b3fc0}
@media (prefers-color-scheme:dark){:root{--line1:#7aa7f5;--line2:#f0a060;--line3:#5fcf94;--line4:#c79af0}}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1rem}
.chart h3{font-size:1rem;margin:.1rem 0 .3rem}
.chart svg{display:block;width:100%;height:auto;overflow:visible}
.chart text{font-size:11.5px;fill:var(--soft)}
@media (max-width:30rem){.chart text{font-size:16px}}
.chart .grid{stroke:var(--line);stroke-width:1}
.chart .mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}
.chart polyline{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.chart polyline.faint{stroke-width:1;opacity:.4}
.chart circle.hit{fill:transparent;stroke:none}
.chart circle.hit:hover{fill:currentColor;opacity:.35}
.chart .legend{margin:.3rem 0 0;font-size:.86rem}
.chart .legend i{width:1.1rem;height:.2rem;border-radius:.1rem;background:currentColor}
`;

const WIDTH = 440;
const HEIGHT = 240;
/** Room for the axes' numbers. */
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 10, 10, 24];
/** Points that are touched; more would be smaller than a finger, and make the page heavy. */
const MOST_TOUCHED = 400;
/** Points that are drawn as a dot each: few, so that a line of one point is seen. */
const MOST_DOTS = 40;
/** Points of a faint line, which is smoothed to that. */
const MOST_FAINT = 400;
/** A faint line's outliers beyond this share of its points do not stretch the chart. */
const INLIERS = 0.98;

/** The chart with its title and legend. */
export function lineChart(chart: Chart): string {
  const series = chart.series.map((line) => {
    // A loss that overflowed has no place on the chart.
    const points = line.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
    return { ...line, points: line.faint ? thinned(points, MOST_FAINT) : points };
  });
  const [low, high] = rangeOfY(chart, series);
  const ticks = ticksBetween(low, high);
  const bottom = Math.min(low, ticks[0] ?? low);
  const top = Math.max(high, ticks.at(-1) ?? high);
  const [from, to] = chart.x;
  const x = (value: number) =>
    LEFT + (value - from) / Math.max(1e-9, to - from) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => {
    const share = (Math.min(top, Math.max(bottom, value)) - bottom) / (top - bottom);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  };
  const at = ([px, py]: Point) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`;
  const parts = [
    ...ticks.map((tick) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick).toFixed(1)}" y2="${
        y(tick).toFixed(1)
      }"/><text x="${LEFT - 6}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${
        number(tick)
      }</text>`
    ),
    ...ticksBetween(from, to, 6).filter((tick) =>
      Number.isInteger(tick) && tick >= from && tick <= to
    ).map((tick) =>
      `<text x="${x(tick).toFixed(1)}" y="${HEIGHT - 6}" text-anchor="middle">${tick}</text>`
    ),
  ];
  if (chart.mark !== undefined) {
    const px = x(chart.mark.x).toFixed(1);
    parts.push(
      `<line class="mark" x1="${px}" x2="${px}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"><title>${
        escapeHtml(chart.mark.name)
      }</title></line>`,
    );
  }
  for (const { points, colour, faint, name } of series) {
    parts.push(
      `<polyline${faint ? ' class="faint"' : ""} stroke="var(--line${colour})" points="${
        points.map(at).join(" ")
      }"/>`,
    );
    if (faint) continue;
    const step = Math.ceil(points.length / MOST_TOUCHED);
    for (const point of points.filter((_, i) => i % step === 0)) {
      const [cx, cy] = at(point).split(",");
      const place = `cx="${cx}" cy="${cy}"`;
      if (points.length <= MOST_DOTS) {
        parts.push(`<circle ${place} r="2.5" fill="var(--line${colour})"/>`);
      }
      const text = `epoch ${Number(point[0].toFixed(2))}: ${name} ${chart.format(point[1])}`;
      parts.push(
        `<circle class="hit" ${place} r="7" style="color:var(--line${colour})"><title>${
          escapeHtml(text)
        }</title></circle>`,
      );
    }
  }
  const last = series.filter(({ faint }) => !faint).map(({ name, points, colour }) => {
    const value = points.at(-1)?.[1];
    return `<span><i style="color:var(--line${colour})"></i>${escapeHtml(name)}${
      value === undefined ? "" : ` <b class="num">${escapeHtml(chart.format(value))}</b>`
    }</span>`;
  });
  return `<div class="card chart"><h3>${escapeHtml(chart.title)}</h3>` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(chart.title)}">${
      parts.join("")
    }</svg><div class="legend">${last.join("")}</div></div>`;
}

function rangeOfY({ y: [low, high] = [Infinity, -Infinity] }: Chart, series: readonly Series[]) {
  for (const { points, faint } of series) {
    const values = points.map(([, y]) => y).sort((a, b) => a - b);
    const end = faint ? Math.ceil(values.length * INLIERS) - 1 : values.length - 1;
    low = Math.min(low, values[0] ?? low);
    high = Math.max(high, values[end] ?? high);
  }
  if (!(low <= high)) return [0, 1] as const;
  if (low === 0 && high === 0) return [0, 1] as const;
  return low === high
    ? [low - Math.abs(low) / 2 - 1e-9, high + Math.abs(high) / 2 + 1e-9] as const
    : [low, high] as const;
}

/** Means over neighbours, at most `most` of them. */
function thinned(points: readonly Point[], most: number): Point[] {
  const width = Math.max(1, Math.ceil(points.length / most));
  const out: Point[] = [];
  for (let start = 0; start < points.length; start += width) {
    const group = points.slice(start, start + width);
    const mean = (axis: 0 | 1) => group.reduce((sum, point) => sum + point[axis], 0) / group.length;
    out.push([mean(0), mean(1)]);
  }
  return out;
}

/** Round numbers that enclose a range: about `wanted` of them, at 1, 2 or 5 times a power of ten. */
export function ticksBetween(low: number, high: number, wanted = 4): number[] {
  const rough = (high - low) / wanted;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10) * power;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from(
    { length: last - first + 1 },
    (_, i) => Number(((first + i) * step).toPrecision(12)),
  );
}

function number(value: number): string {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e5)
    ? value.toExponential().replace("e+", "e")
    : String(value);
}
