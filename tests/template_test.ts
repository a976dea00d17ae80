import { assertEquals, assertThrows } from "@std/assert";
import { expandTemplate, INPUT_WIDTH, TemplateError } from "../src/gpu/template.ts";

const inline = (expression: string, constants: Record<string, number | string> = {}) =>
  expandTemplate("${" + expression + "}", constants).trim();

Deno.test("template: expressions follow the usual precedence, division and remainder floor", () => {
  assertEquals(inline("1 + 2 * 3"), "7");
  assertEquals(inline("(1 + 2) * 3 - 4 - 5"), "0");
  assertEquals(inline("7 / 2"), "3");
  assertEquals(inline("-7 / 2"), "-4");
  assertEquals(inline("-7 % 4"), "1");
  assertEquals(inline("2 < 3 && !(1 >= 2) || 0"), "1");
  assertEquals(inline("K == 3 ? 'a' : K == 1 ? 'b' : 'c'", { K: 1 }), "b");
  assertEquals(inline("max(2, K) + min(1, K)", { K: 5 }), "6");
});

Deno.test("template: branches not taken are not evaluated", () => {
  assertEquals(inline("1 ? 2 : missing"), "2");
  assertEquals(inline("0 && missing"), "0");
  assertEquals(expandTemplate("//@if 0\n${missing}\n//@else\nb\n//@end\n", {}).trim(), "b");
});

Deno.test("template: text constants substitute verbatim, lanes are letters", () => {
  assertEquals(inline("T", { T: "vec4<f32>" }), "vec4<f32>");
  assertEquals(inline("lane(i)", { i: 2 }), "z");
});

Deno.test("template: loops nest, with bounds from outer variables, and let is block scoped", () => {
  const source = [
    "//@let N = 2",
    "//@for y in 0..N",
    "  //@let N = y + 1",
    "  //@for x in y..N + 1",
    "a${y}_${x};",
    "  //@end",
    "//@end",
    "n${N}",
  ].join("\n");
  assertEquals(expandTemplate(source, {}).trim().split(/\s+/), [
    "a0_0;",
    "a0_1;",
    "a1_1;",
    "a1_2;",
    "n2",
  ]);
});

Deno.test("template: an empty range leaves nothing", () => {
  assertEquals(expandTemplate("a\n//@for i in 3..3\nb\n//@end\nc", {}), "a\nc\n");
});

Deno.test("template: if and else choose by constants", () => {
  const source = "//@if ACT == 'relu'\nmax(v, 0.0)\n//@else\nv\n//@end";
  assertEquals(expandTemplate(source, { ACT: "relu" }).trim(), "max(v, 0.0)");
  assertEquals(expandTemplate(source, { ACT: "none" }).trim(), "v");
});

Deno.test("template: inline repetitions join, nest, span lines and keep WGSL braces", () => {
  assertEquals(
    expandTemplate("s = $sum(c in 0..3){ a.${lane(c)} * w${c} };", {}),
    [
      "s = a.x * w0 + a.y * w1 + a.z * w2;\n",
    ].join(""),
  );
  assertEquals(
    expandTemplate("$list(r in 0..2, p in 0..2){ v${r}${p} }", {}),
    "v00, v01, v10, v11\n",
  );
  assertEquals(
    expandTemplate("$sum(r in 0..2){\n($sum(p in r..2){ v${p} })\n}", {}),
    "(v0 + v1) + (v1)\n",
  );
  assertEquals(
    expandTemplate("$each(i in 0..2){ if a { b${i}(); } }", {}),
    [
      "if a { b0(); } if a { b1(); }\n",
    ].join(""),
  );
});

Deno.test("template: comment lines are dropped and may mention anything", () => {
  assertEquals(expandTemplate("// uses ${unknown}\na // kept\n", {}), "a // kept\n");
});

Deno.test("template: inputs are storage buffers, or textures where TEXTURES names them", () => {
  const source = "//@input(2) x: IMAGE\n//@input(K > 1 ? K : 1) mean: 'vec4f'\n";
  const buffer = (binding: number, name: string, type: string) =>
    `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${type}>; ` +
    `fn ${name}_at(i: u32) -> vec4f { return vec4f(${name}[i]); }\n`;
  const texture = (binding: number, name: string, texel: string) =>
    `@group(0) @binding(${binding}) var ${name}: texture_storage_2d<${texel}, read>; ` +
    `fn ${name}_at(i: u32) -> vec4f { ` +
    `return textureLoad(${name}, vec2u(i % ${INPUT_WIDTH}u, i / ${INPUT_WIDTH}u)); }\n`;
  const [f32, f16] = [{ IMAGE: "vec4f", K: 1 }, { IMAGE: "vec4h", K: 5 }];
  assertEquals(expandTemplate(source, f32), buffer(2, "x", "vec4f") + buffer(1, "mean", "vec4f"));
  assertEquals(expandTemplate(source, f16), buffer(2, "x", "vec4h") + buffer(5, "mean", "vec4f"));
  assertEquals(
    expandTemplate(source, { ...f16, TEXTURES: "mean x" }),
    texture(2, "x", "rgba16float") + texture(5, "mean", "rgba32float"),
  );
  const several = "//@for s in 0..2\n//@input(s + 1) x${s}: IMAGE\n//@end\n";
  assertEquals(
    expandTemplate(several, { ...f32, TEXTURES: "x x1" }),
    buffer(1, "x0", "vec4f") + texture(2, "x1", "rgba32float"),
    "only whole names count",
  );
});

Deno.test("template: errors name the line and the reason", () => {
  const fails = (source: string, ...parts: string[]) => {
    for (const part of parts) {
      assertThrows(() => expandTemplate(source, { K: 1 }), TemplateError, part);
    }
  };
  fails("a\nb ${Q + 1}", "line 2", "unknown name `Q`", "known: K");
  fails("a\n$sum(i in 0..2){\nx${i}\n${Q}\n}", "line 4", "`Q`");
  fails("a\n//@for i in 0..2\nb", "line 2", "`//@for` has no `//@end`");
  fails("//@end", "line 1", "`//@end` without");
  fails("//@for i in 0..2\n//@else\n//@end", "line 2", "`//@else` without");
  fails("//@if 1\n//@else\n//@else\n//@end", "line 3", "`//@else` without");
  fails("//@loop i", "line 1", "unknown directive `//@loop`");
  fails("//@for i in 0..'a'\n//@end", "line 1", "integer");
  fails("//@for i of 0..2\n//@end", "line 1", "expected `in`");
  fails("\n${1 +}", "line 2", "ends too early");
  fails("${1 2}", "line 1", "unexpected `2`");
  fails("${K / 0}", "line 1", "has no value");
  fails("${lane(4)}", "line 1", "lane(4)");
  fails("${floor(4)}", "line 1", "unknown function `floor`");
  fails("${K", "line 1", "never closed");
  fails("$sum(i in 0..2) x", "line 1", "body");
  fails("a\n//@input x: 'vec4f'", "line 2", "`(BINDING) NAME: TYPE`");
  fails("//@input(1 x: 'vec4f'", "line 1", "`(` is never closed");
  fails("//@input(1) x 'vec4f'", "line 1", "`(BINDING) NAME: TYPE`");
  fails("//@input(1) x: 'vec4f' K", "line 1", "unexpected `K`");
  fails("//@input('a') x: 'vec4f'", "line 1", "a binding needs an integer");
  fails("//@input(1) 2x: 'vec4f'", "line 1", "`2x` is no name");
  fails("//@input(1) x${Q}: 'vec4f'", "line 1", "unknown name `Q`");
  fails("\n\n//@input(1) x: Q", "line 3", "unknown name `Q`");
  fails("//@input(1) x: 'f32'", "line 1", "vec4f or vec4h", "`f32`");
});
