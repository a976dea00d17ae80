/**
 * Run by vector_width_test.ts in a process of its own, since the driver reads its environment once:
 * decides with a processor and a self-test as told, then says what came of it.
 *
 *   vector_width_try.ts avx512|plain|unknown right|wrong
 * @module
 */
import { ask, decideVectorWidth } from "../../cli/vector_width.ts";

const [processor, outcome] = Deno.args;
const decision = await decideVectorWidth("high", {
  os: Deno.build.os,
  gains: () => Promise.resolve(processor === "unknown" ? undefined : processor === "avx512"),
  async ask(question) {
    const answer = await ask(question);
    return { ...answer, right: answer.right && (outcome === "right" || !question.test) };
  },
});
const adapter = await navigator.gpu.requestAdapter();
console.log(JSON.stringify({
  ...decision,
  adapter: adapter?.info.description,
  width: Deno.env.get("LP_NATIVE_VECTOR_WIDTH") || undefined,
  shaders: Deno.env.get("MESA_SHADER_CACHE_DIR") || undefined,
}));
