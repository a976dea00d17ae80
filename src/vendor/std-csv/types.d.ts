/** Options of {@linkcode parse}. */
export interface ParseOptions {
  separator?: string;
  comment?: string;
  trimLeadingSpace?: boolean;
  lazyQuotes?: boolean;
  fieldsPerRecord?: number;
}
/** Rows as arrays of strings. */
export function parse(input: string, options?: ParseOptions & { skipFirstRow?: false }): string[][];
/** Rows as objects keyed by the first row. */
export function parse(
  input: string,
  options: ParseOptions & { skipFirstRow: true; strip?: boolean },
): Record<string, string>[];
/** Options of {@linkcode stringify}. */
export interface StringifyOptions {
  headers?: boolean;
  separator?: string;
  columns?: readonly string[];
  bom?: boolean;
}
/** Objects or arrays as CSV text, rows ended by CRLF. */
export function stringify(
  data: readonly Record<string, unknown>[] | readonly (readonly unknown[])[],
  options?: StringifyOptions,
): string;
