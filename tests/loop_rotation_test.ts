import { assert, assertEquals } from "@std/assert";
import { rotateLoops } from "../src/gpu/loop_rotation.ts";
import { compileKernel } from "../src/gpu/pipeline.ts";
import { testGpu } from "./ops/harness.ts";

const squeezed = (code: string) => rotateLoops(code).replace(/\s+/g, " ").trim();

Deno.test("loop rotation: the test stands at the end, and once before the loop", () => {
  assertEquals(
    squeezed("for (var i = 0u; i < n; i++) { a(i); }"),
    "{ var i = 0u; if (i < n) { loop { { a(i); } i++; if (!(i < n)) { break; } } } }",
  );
  assertEquals(
    squeezed("while (row < end(3)) { row++; }"),
    "{ if (row < end(3)) { loop { { row++; } if (!(row < end(3))) { break; } } } }",
  );
});

Deno.test("loop rotation: nested loops and loops behind one another are rotated", () => {
  const code = "for (; a < b; ) { for (var c = 0; c < d; c++) { e(); } } while (f) { g(); }";
  assertEquals(rotateLoops(code).match(/\bloop\b/g)?.length, 3);
  assert(!/\b(for|while)\b/.test(rotateLoops(code)));
});

Deno.test("loop rotation: what it cannot turn stays", () => {
  for (
    const code of [
      "loop { a(); continuing { break if b; } }",
      "for (;;) { break; }",
      "for (var i = 0; i < 3; i++) { if (i == 1) { continue; } a(); }",
      "for (var i = 0; i < 3; i++) { a(",
      "for (var i = 0; i < 3; i++) a();",
      "while (a < 3u) && (b < 2u) { a++; }",
      "while (a + 1u) < b { a++; }",
      "x = forward(y) { z",
    ]
  ) assertEquals(rotateLoops(code), code);
  assertEquals(
    squeezed("while (a) < b { while (c) { d(); } }"),
    "while (a) < b { { if (c) { loop { { d(); } if (!(c)) { break; } } } } }",
  );
});

Deno.test("loop rotation: comments go, lines stay", () => {
  assertEquals(rotateLoops("a(); // for (b\nc();"), "a(); \nc();");
  assertEquals(rotateLoops("a(/* { // for ( \n } */ b);"), "a(\n b);");
});

Deno.test("loop rotation: kernels are rotated on llvmpipe only", async () => {
  for (
    const [description, isRotated] of [
      ["llvmpipe (LLVM 15.0.6, 256 bits)", true],
      ["NVIDIA H100", false],
      [undefined, false],
    ] as const
  ) {
    const compiled: string[] = [];
    const device = {
      adapterInfo: description === undefined ? undefined : { description },
      pushErrorScope: () => {},
      popErrorScope: () => Promise.resolve(null),
      createShaderModule({ code }: GPUShaderModuleDescriptor) {
        compiled.push(code);
        return { getCompilationInfo: () => Promise.resolve({ messages: [] }) };
      },
      createComputePipelineAsync: () => Promise.resolve({}),
    } as unknown as GPUDevice;
    await compileKernel(device, { name: "loops", source: LOOPS, constants: {} });
    assertEquals(compiled.map((code) => /\bfor\b/.test(code)), [!isRotated], description);
  }
});

/** Loops of no pass, of some, in a loop, left early, over a name that the body hides. */
const LOOPS = `
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0u;
  for (var i = 0u; i < lane; i++) {
    sum += 1u;
    let lane = 100u;
    for (var k = i; k < 4u; k += 2u) {
      if (k == 3u) { break; }
      sum += lane;
    }
  }
  var n = lane;
  while (n > 2u) {
    sum += 10000u;
    n -= 2u;
  }
  y[lane] = sum;
}`;

/** The same in TypeScript, which plain loops are held to as well. */
function loopsOf(lane: number): number {
  let sum = 0;
  for (let i = 0; i < lane; i++) {
    sum += 1;
    for (let k = i; k < 4 && k !== 3; k += 2) sum += 100;
  }
  for (let n = lane; n > 2; n -= 2) sum += 10000;
  return sum;
}

for (const isRotated of [false, true]) {
  Deno.test({
    name: `loop rotation: ${isRotated ? "rotated" : "plain"} loops compute what they say`,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      const gpu = await testGpu();
      const { device } = gpu;
      const module = device.createShaderModule({ code: isRotated ? rotateLoops(LOOPS) : LOOPS });
      const pipeline = await device.createComputePipelineAsync({
        layout: "auto",
        compute: { module, entryPoint: "main" },
      });
      const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
      const y = device.createBuffer({ size: 32, usage: STORAGE | COPY_SRC });
      const read = device.createBuffer({ size: 32, usage: MAP_READ | COPY_DST });
      const layout = pipeline.getBindGroupLayout(0);
      const entries = [{ binding: 0, resource: { buffer: y } }];
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
      pass.dispatchWorkgroups(1);
      pass.end();
      encoder.copyBufferToBuffer(y, 0, read, 0, 32);
      device.queue.submit([encoder.finish()]);
      await read.mapAsync(GPUMapMode.READ);
      const found = [...new Uint32Array(read.getMappedRange())];
      y.destroy();
      read.destroy();
      gpu.check();
      assertEquals(found, Array.from({ length: 8 }, (_, lane) => loopsOf(lane)));
    },
  });
}
