/**
 * Other frameworks' scripts for the benchmark step, and the table that puts them beside ours. A
 * script takes `--mode`, `--batch`, `--height`, `--width` and `--steps` and prints one line of JSON
 * with `peer`, `backend`, `version`, `median_s` and `losses` or `checksum`.
 * @module
 */
import { markdownTable } from "./tables.ts";

/** A way to run a script. */
export interface Peer {
  /** For example `tfjs wasm`. */
  readonly name: string;
  readonly script: string;
  readonly args: readonly string[];
  /** Whether it can train; all can infer. */
  readonly trains: boolean;
  /** Whether it reads the network from an ONNX file, which `torch` writes. */
  readonly onnx: boolean;
}

/** Variants of the scripts that are known; others run once, as they are. */
const VARIANTS: Readonly<Record<string, readonly Omit<Peer, "script">[]>> = {
  "torch_peer.py": [
    { name: "torch cpu", args: ["--device", "cpu"], trains: true, onnx: false },
    { name: "torch cuda", args: ["--device", "cuda"], trains: true, onnx: false },
  ],
  "tfjs_peer.ts": ["wasm", "webgpu"].map((backend) => ({
    name: `tfjs ${backend}`,
    args: ["--backend", backend],
    trains: true,
    onnx: false,
  })),
  "jax_peer.ts": ["wasm", "webgpu"].map((backend) => ({
    name: `jax-js ${backend}`,
    args: ["--backend", backend],
    trains: true,
    onnx: false,
  })),
  "ort_peer.ts": ["node", "wasm", "webgpu"].map((backend) => ({
    name: `onnxruntime ${backend}`,
    args: ["--backend", backend],
    trains: false,
    onnx: true,
  })),
};

/** The peers that a folder with these file names offers. */
export function peersOf(files: readonly string[]): Peer[] {
  return files.filter((file) => /_peer\.(py|ts)$/.test(file)).sort().flatMap((script) =>
    (VARIANTS[script] ?? [{
      name: script.replace(/_peer\.\w+$/, ""),
      args: [],
      trains: true,
      onnx: false,
    }]).map((variant) => ({ script, ...variant }))
  );
}

/** What a script prints, as far as it is used. */
export interface PeerLine {
  readonly version: string;
  readonly medianMs: number;
  /** The first loss, or mean |logit| at inference. */
  readonly result: number | undefined;
}

/** Reads the last line of a script's output. @returns undefined where that is no result. */
export function parsePeerLine(output: string): PeerLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(output.trimEnd().split("\n").at(-1) ?? "");
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const line = value as Record<string, unknown>;
  const seconds = line.median_s;
  if (typeof seconds !== "number" || !(seconds > 0)) return undefined;
  const [first]: unknown[] = Array.isArray(line.losses) ? line.losses : [];
  const result = [first, line.checksum].find((v) => typeof v === "number");
  return {
    version: typeof line.version === "string" ? line.version : "",
    medianMs: seconds * 1000,
    result: typeof result === "number" ? result : undefined,
  };
}

/** A peer's runs, each with ours just before it; or why there are none. */
export interface Comparison {
  readonly name: string;
  readonly version: string;
  readonly pairs: readonly { readonly oursMs: number; readonly peerMs: number }[];
  readonly result: number | undefined;
  readonly problem?: string | undefined;
}

/** Where and of what the figures are. */
export interface ComparisonSetting {
  /** For example `train 1 x 3 x 128 x 192, 5 steps a run`. */
  readonly what: string;
  /** Name and value. */
  readonly facts: readonly (readonly [string, string])[];
  readonly version: string;
  /** Our first loss or checksum. */
  readonly result: number;
}

/** First losses and checksums differ by less of themselves where the step is the same. */
const SAME_RESULT = 3e-4;

/** The report, in Markdown. */
export function comparisonReport(
  { what, facts, version, result }: ComparisonSetting,
  comparisons: readonly Comparison[],
): string {
  const ran = comparisons.filter(({ pairs, problem }) => pairs.length > 0 && !problem);
  const failed = comparisons.filter((comparison) => !ran.includes(comparison));
  const all = ran.flatMap(({ pairs }) => pairs.map(({ oursMs }) => oursMs));
  const rows = [
    ["webgpu-unet", version, all.length > 0 ? median(all).toFixed(1) : "-", "1", shown(result)],
    ...ran.map(({ name, version, pairs, result: theirs }) => [
      name,
      version,
      median(pairs.map(({ peerMs }) => peerMs)).toFixed(1),
      median(pairs.map(({ oursMs, peerMs }) => oursMs / peerMs)).toFixed(2),
      shown(theirs) + (isSame(theirs, result) ? "" : " (differs)"),
    ]),
  ];
  const table = markdownTable(
    ["framework", "version", "median ms", "our time / theirs", "first loss or checksum"],
    rows,
    [false, false, true, true, true],
  );
  return [
    `### ${what}`,
    "",
    ...facts.map(([name, value]) => `- ${name}: ${value}`),
    "",
    table,
    ...(failed.length === 0 ? [] : ["", "Not compared:", ""]),
    ...failed.map(({ name, problem }) => `- ${name}: ${problem ?? "it was not run"}`),
  ].join("\n");
}

/** A script that tells no result cannot differ. */
function isSame(theirs: number | undefined, ours: number): boolean {
  return theirs === undefined || Math.abs(theirs - ours) <= SAME_RESULT * Math.abs(ours);
}

function shown(result: number | undefined): string {
  return result === undefined ? "-" : String(Number(result.toPrecision(6)));
}

/** The middle one, between two their mean; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? NaN : (low + high) / 2;
}

/** Between them a document has its report. */
export const [BEGIN, END] = ["<!-- bench compare: begin -->", "<!-- bench compare: end -->"];

/**
 * A document with the report between its marks; an empty one is given them.
 * @returns undefined where it has text, but not both marks in this order: a report would replace
 *   what somebody wrote
 */
export function placeReport(document: string, report: string): string | undefined {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (document.trim() === "") return `${BEGIN}\n\n${report}\n\n${END}\n`;
  if (begin < 0 || end < begin) return undefined;
  return `${document.slice(0, begin + BEGIN.length)}\n\n${report}\n\n${document.slice(end)}`;
}
