/**
 * Expands WGSL templates: loops, branches and constants that must be gone before the shader
 * compiler sees them. WGSL compilers put a bound on every loop, which stops drivers from unrolling,
 * so kernels that keep a tile in registers are written as short templates and unrolled here.
 *
 * | form | meaning |
 * | --- | --- |
 * | `//@for k in 0..K` ... `//@end` | repeats the lines for k = 0 .. K-1 |
 * | `//@if EXPR` ... `//@else` ... `//@end` | keeps one branch; the other is not evaluated |
 * | `//@let NAME = EXPR` | names a value until the end of the enclosing block |
 * | `${EXPR}` | the value, in place |
 * | `$sum(c in 0..4){ ... }` | the text repeated and joined with ` + ` |
 * | `$list(c in 0..4){ ... }` | the text repeated and joined with `, ` |
 * | `$each(c in 0..4){ ... }` | the text repeated and joined with a space |
 * | `//@input(B) NAME: TYPE` | declares vec4s that are only read, at binding B; `NAME_at(i)` reads one |
 *
 * The three inline repetitions nest, take several variables (`$sum(r in 0..R, p in 0..P){ ... }`,
 * the last one fastest) and may span lines. Expressions are integers with
 * `+ - * / % == != < <= > >= && || ! ?:` and parentheses (`/` and `%` round down, true is 1),
 * names, `'text'`, `min(a, b)`, `max(a, b)` and `lane(i)`, which is x, y, z or w. Text constants
 * substitute verbatim. Lines that hold only a comment are left out of the result.
 *
 * An input of TYPE 'vec4f' or 'vec4h' is a storage buffer, or, where the constant `TEXTURES` names it
 * among others, a texture with rows of {@linkcode INPUT_WIDTH} texels. Its NAME may hold `${EXPR}`.
 * @module
 */

import { closingBracket } from "./brackets.ts";
import { IMAGE_CONSTANTS } from "./kernel_spec.ts";
import {
  type Expression,
  integer,
  Parser,
  type Range,
  type Scope,
  TemplateError,
  type TemplateValue,
  truthy,
} from "./template_expression.ts";

export { TemplateError, type TemplateValue };

type Inline = string | Expression | { readonly ranges: Range[]; separator: string; body: Inline[] };
interface Input {
  readonly kind: "input";
  readonly line: number;
  readonly binding: Expression;
  readonly name: Inline[];
  readonly type: Expression;
}
type Block =
  | { readonly kind: "text"; readonly line: number; readonly text: Inline[] }
  | { readonly kind: "let"; readonly line: number; readonly name: string; value: Expression }
  | { readonly kind: "for"; readonly line: number; readonly range: Range; body: Block[] }
  | Input
  | { kind: "if"; line: number; test: Expression; then: Block[]; otherwise?: Block[] };

const SEPARATORS: Readonly<Record<string, string>> = { sum: " + ", list: ", ", each: " " };

/** Texels of a row of an input that lies in a texture. */
export const INPUT_WIDTH = 2048;

/** Runs `action` and puts the template's line in front of what it throws. */
function atLine<T>(line: number, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof TemplateError) || /^template line \d/.test(error.message)) throw error;
    throw new TemplateError(`template line ${line}: ${error.message}`);
  }
}

/** The index just past the bracket that closes the one at `open`. */
function closing(text: string, open: number, line: number): number {
  const end = closingBracket(text, open);
  if (end < 0) throw new TemplateError(`template line ${line}: \`${text[open]}\` is never closed`);
  return end;
}

function parseInline(text: string, firstLine: number): Inline[] {
  const parts: Inline[] = [];
  const opening = /\$(?:\{|(sum|list|each)\()/g;
  let at = 0;
  for (let match = opening.exec(text); match; match = opening.exec(text)) {
    parts.push(text.slice(at, match.index));
    const line = firstLine + text.slice(0, match.index).split("\n").length - 1;
    const open = opening.lastIndex - 1;
    at = closing(text, open, line);
    const parser = atLine(line, () => new Parser(text.slice(open + 1, at - 1)));
    if (match[1] === undefined) {
      const value = atLine(line, () => parser.expression());
      atLine(line, () => parser.end());
      parts.push((scope) => atLine(line, () => value(scope)));
    } else {
      const ranges = [atLine(line, () => parser.range())];
      while (parser.take(",")) ranges.push(atLine(line, () => parser.range()));
      atLine(line, () => parser.end());
      if (text[at] !== "{") {
        throw new TemplateError(`template line ${line}: \`$${match[1]}(...)\` needs a { body }`);
      }
      const bodyEnd = closing(text, at, line);
      const inner = text.slice(at + 1, bodyEnd - 1);
      const skipped = text.slice(0, at + 1) + /^\s*/.exec(inner)?.[0];
      const bodyLine = firstLine + skipped.split("\n").length - 1;
      const body = parseInline(inner.trim(), bodyLine);
      parts.push({ ranges, separator: SEPARATORS[match[1]] ?? "", body });
      at = bodyEnd;
    }
    opening.lastIndex = at;
  }
  parts.push(text.slice(at));
  return parts;
}

function each(range: Range, scope: Scope, action: (inner: Map<string, TemplateValue>) => void) {
  const to = integer(range.to(scope), "the end of a range");
  for (let i = integer(range.from(scope), "the start of a range"); i < to; i++) {
    action(new Map(scope).set(range.variable, i));
  }
}

function renderInline(parts: readonly Inline[], scope: Scope): string {
  let out = "";
  for (const part of parts) {
    if (typeof part === "string") out += part;
    else if (typeof part === "function") out += part(scope);
    else {
      const items: string[] = [];
      const descend = (depth: number, inner: Scope): void => {
        const range = part.ranges[depth];
        if (range) each(range, inner, (next) => descend(depth + 1, next));
        else items.push(renderInline(part.body, inner));
      };
      descend(0, scope);
      out += items.join(part.separator);
    }
  }
  return out;
}

function render(blocks: readonly Block[], outer: Scope, out: string[]): void {
  const scope = new Map(outer);
  for (const block of blocks) {
    atLine(block.line, () => {
      if (block.kind === "text") out.push(renderInline(block.text, scope));
      else if (block.kind === "let") scope.set(block.name, block.value(scope));
      else if (block.kind === "input") out.push(declare(block, scope));
      else if (block.kind === "for") {
        each(block.range, scope, (inner) => render(block.body, inner, out));
      } else if (truthy(block.test(scope))) render(block.then, scope, out);
      else render(block.otherwise ?? [], scope, out);
    });
  }
}

/** Reads `(BINDING) NAME: TYPE`. */
function parseInput(text: string, line: number): Input {
  const afterBinding = text.startsWith("(") ? closing(text, 0, line) : 0;
  const colon = text.indexOf(":", afterBinding);
  if (afterBinding === 0 || colon < 0) {
    throw new TemplateError("`//@input` needs `(BINDING) NAME: TYPE`");
  }
  const expression = (from: number, to?: number): Expression => {
    const parser = new Parser(text.slice(from, to));
    const value = parser.expression();
    parser.end();
    return value;
  };
  return {
    kind: "input",
    line,
    binding: expression(1, afterBinding - 1),
    name: parseInline(text.slice(afterBinding, colon).trim(), line),
    type: expression(colon + 1),
  };
}

/** An input and the function that reads it, on one line: errors then still name the right one. */
function declare(input: Input, scope: Scope): string {
  const place = `@group(0) @binding(${integer(input.binding(scope), "a binding")})`;
  const name = renderInline(input.name, scope);
  if (!/^[A-Za-z_]\w*$/.test(name)) throw new TemplateError(`\`${name}\` is no name of an input`);
  const vector = input.type(scope);
  const image = Object.values(IMAGE_CONSTANTS).find(({ IMAGE }) => IMAGE === vector);
  if (!image) {
    throw new TemplateError(`an input needs the type vec4f or vec4h, found \`${vector}\``);
  }
  const isTexture = String(scope.get("TEXTURES") ?? "").split(" ").includes(name);
  const declaration = isTexture
    ? `${place} var ${name}: texture_storage_2d<${image.TEXEL}, read>;`
    : `${place} var<storage, read> ${name}: array<${vector}>;`;
  const value = isTexture
    ? `textureLoad(${name}, vec2u(i % ${INPUT_WIDTH}u, i / ${INPUT_WIDTH}u))`
    : `vec4f(${name}[i])`;
  return `${declaration} fn ${name}_at(i: u32) -> vec4f { return ${value}; }\n`;
}

function parse(source: string): Block[] {
  const root: Block[] = [];
  const open: { block: Block; body: Block[] }[] = [];
  let body = root;
  let text = "";
  let textLine = 1;
  const flush = () => {
    if (text !== "") {
      body.push({ kind: "text", line: textLine, text: parseInline(text, textLine) });
    }
    text = "";
  };
  source.split("\n").forEach((content, index) => {
    const line = index + 1;
    const trimmed = content.trim();
    const directive = /^\/\/@(\w*)\s*(.*)$/.exec(trimmed);
    if (!directive) {
      if (text === "") textLine = line;
      // Comment lines keep their place inside a chunk, as empty lines, so that lines still count.
      text += (trimmed.startsWith("//") ? "" : content) + "\n";
      return;
    }
    flush();
    const [, word = "", rest = ""] = directive;
    atLine(line, () => {
      if (word === "input") {
        body.push(parseInput(rest, line));
        return;
      }
      const parser = new Parser(rest);
      const top = open.at(-1);
      if (word === "for") {
        const block = { kind: "for", line, range: parser.range(), body: [] } satisfies Block;
        body.push(block);
        open.push({ block, body });
        body = block.body;
      } else if (word === "if") {
        const block: Block = { kind: "if", line, test: parser.expression(), then: [] };
        body.push(block);
        open.push({ block, body });
        body = block.then;
      } else if (word === "let") {
        const name = parser.identifier();
        parser.expect("=");
        body.push({ kind: "let", line, name, value: parser.expression() });
      } else if (word === "else") {
        if (top?.block.kind !== "if" || top.block.otherwise) {
          throw new TemplateError("`//@else` without an open `//@if`");
        }
        body = top.block.otherwise = [];
      } else if (word === "end") {
        if (!top) throw new TemplateError("`//@end` without an open `//@for` or `//@if`");
        open.pop();
        body = top.body;
      } else throw new TemplateError(`unknown directive \`//@${word}\``);
      parser.end();
    });
  });
  flush();
  const unclosed = open.at(-1)?.block;
  if (unclosed) {
    throw new TemplateError(
      `template line ${unclosed.line}: \`//@${unclosed.kind}\` has no \`//@end\``,
    );
  }
  return root;
}

/**
 * Expands a template.
 * @param source the template's text
 * @param constants its names: integers, or text that is substituted verbatim
 * @returns plain WGSL
 * @throws {TemplateError} naming the line, for unknown names, bad expressions, unbalanced blocks
 */
export function expandTemplate(
  source: string,
  constants: Readonly<Record<string, TemplateValue>>,
): string {
  const out: string[] = [];
  render(parse(source), new Map(Object.entries(constants)), out);
  return out.join("").replace(/^\s*\n/gm, "");
}
