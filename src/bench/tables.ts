/**
 * Tables of results as text: aligned columns for terminals, Markdown for files.
 * @module
 */

/** Columns aligned by spaces; those of `numeric` to the right. */
export function textTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  numeric: readonly boolean[],
): string {
  const widths = columnWidths([header, ...rows]);
  return [header, ...rows].map((row) =>
    row.map((cell, i) => pad(cell, widths[i] ?? 0, numeric[i])).join("  ").trimEnd()
  ).join("\n");
}

/** A Markdown table, aligned in its source as well. */
export function markdownTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  numeric: readonly boolean[],
): string {
  const cells = [header, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = columnWidths(cells).map((width) => Math.max(width, 4));
  const lines = cells.map((row) =>
    `| ${row.map((cell, i) => pad(cell, widths[i] ?? 0, numeric[i])).join(" | ")} |`
  );
  const rule = widths.map((width, i) =>
    numeric[i] ? `${"-".repeat(width - 1)}:` : "-".repeat(width)
  );
  lines.splice(1, 0, `| ${rule.join(" | ")} |`);
  return lines.join("\n");
}

function columnWidths(rows: readonly (readonly string[])[]): number[] {
  const columns = Math.max(...rows.map((row) => row.length));
  return Array.from(
    { length: columns },
    (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)),
  );
}

function pad(cell: string, width: number, isNumber: boolean | undefined): string {
  return isNumber ? cell.padStart(width) : cell.padEnd(width);
}
