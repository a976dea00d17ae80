/**
 * Pages that need no other file: pictures are inside, nothing is loaded from anywhere. They read well
 * on a phone, in light and in dark, and on paper.
 * @module
 */

/** Text as HTML shows it. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** A picture's bytes as an address inside the page. */
export function dataUri(bytes: Uint8Array, type: "image/png" | "image/jpeg"): string {
  return `data:${type};base64,${bytes.toBase64()}`;
}

/** What a page is made of. `body` and `style` are used as they are. */
export interface PageParts {
  readonly title: string;
  readonly body: string;
  /** Rules beside the common ones. */
  readonly style?: string;
  /** A script without modules; the page must make sense without it. */
  readonly script?: string;
}

const STYLE = `
:root{color-scheme:light dark;--page:#fff;--card:#f5f6f8;--line:#dde1e6;--text:#1b1f24;--soft:#5b6470;
--accent:#2563c9;--accent-soft:#dbe6fa;--warn:#8a5300;--warn-page:#fff6e3;--warn-line:#f0d9a8}
@media (prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2126;--line:#333a42;--text:#e6e9ed;
--soft:#9aa4b0;--accent:#7aa7f5;--accent-soft:#26364f;--warn:#f2c66d;--warn-page:#2a2416;
--warn-line:#57471f}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0 .4rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.2rem 0 .7rem}
p{margin:.4rem 0}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.soft{color:var(--soft)}
.num{font-variant-numeric:tabular-nums;white-space:nowrap}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem}
@media print{main{max-width:none}.card{break-inside:avoid}}
`;

/** The whole page. */
export function htmlPage({ title, body, style = "", script }: PageParts): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}${style}</style>
</head>
<body>
<main>
${body}
</main>
${script === undefined ? "" : `<script>${script}</script>\n`}</body>
</html>
`;
}
