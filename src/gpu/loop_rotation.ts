/**
 * Loops whose test stands at their end, for a driver that never jumps out of the middle of one.
 * @module
 */
import { closingBracket } from "./brackets.ts";

/**
 * Turns `for (init; test; step) { body }` and `while (test) { body }` into
 * `{ init; if (test) { loop { { body } step; if (!(test)) { break; } } } }`: loop rotation, as
 * optimizing compilers do it.
 *
 * llvmpipe computes a branch for all lanes and drops what it is not taken for; it jumps at a loop's
 * end only. So `break` at the top, where WGSL's loops test, has the rest of the body run once more
 * for nothing, and a loop in a loop once more for the outer one's last pass. Of a convolution of 16
 * channels, four passes of a loop in a loop, that was a third of the time.
 *
 * A loop with `continue`, which would skip the step, stays as it is, and so does a `while` whose test
 * does not stand in brackets. Comments go: they may hold brackets.
 */
export function rotateLoops(code: string): string {
  return rotate(code.replace(/\/\/.*|\/\*[^]*?\*\//g, (comment) => comment.replace(/.+/g, "")));
}

function rotate(code: string): string {
  const loop = /\b(for|while)\s*\(/.exec(code);
  if (!loop) return code;
  const open = loop.index + loop[0].length - 1;
  const headEnd = closingBracket(code, open);
  // What does not parse is left to the compiler, which says where.
  if (headEnd < 0) return code;
  const brace = headEnd + code.slice(headEnd).search(/\S/);
  const end = code[brace] === "{" ? closingBracket(code, brace) : -1;
  if (end < 0) return code.slice(0, headEnd) + rotate(code.slice(headEnd));
  const head = code.slice(open + 1, headEnd - 1).split(";").map((part) => part.trim());
  const [init = "", test = "", step = ""] = loop[1] === "for" ? head : ["", ...head];
  const body = rotate(code.slice(brace + 1, end - 1));
  const before = code.slice(0, loop.index);
  const after = rotate(code.slice(end));
  if (test === "" || /\bcontinue\b/.test(body)) {
    return `${before}${code.slice(loop.index, brace + 1)}${body}}${after}`;
  }
  const statement = (text: string) => text === "" ? "" : `${text}; `;
  return `${before}{ ${statement(init)}if (${test}) { loop { {${body}} ` +
    `${statement(step)}if (!(${test})) { break; } } } }${after}`;
}
