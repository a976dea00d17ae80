import { assert, assertEquals } from "@std/assert";
import { initialTensors } from "../../src/nn/init.ts";
import { parameterCount, unetTensors } from "../../src/nn/unet_spec.ts";
import { goldenError, goldens } from "./load.ts";

async function sha256(parts: ArrayBufferView<ArrayBuffer>[]): Promise<string> {
  const bytes = await new Blob(parts).arrayBuffer();
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

for (const golden of goldens) {
  Deno.test(`golden ${golden.name}: weights, input and labels are PyTorch's bit for bit`, async () => {
    const weights = initialTensors(golden.config, golden.seedWeights);
    const drawn = unetTensors(golden.config).filter(({ role }) => role.startsWith("conv-"));
    assertEquals(
      await sha256(drawn.map(({ name }) => weights.get(name)!)),
      golden.weightsSha256,
    );
    assertEquals(await sha256([golden.input]), golden.inputSha256);
    assertEquals(await sha256([golden.labels]), golden.labelsSha256);
    assert(golden.labels.includes(golden.ignoreIndex));
  });

  Deno.test(`golden ${golden.name}: every tensor has PyTorch's name and shape`, () => {
    const { config, batch, height, width } = golden;
    const logits = [batch, config.classes, height, width];
    const expected: [string, number[]][] = [["logits.train", logits], ["logits.eval", logits]];
    for (const { name, shape, kind, dtype } of unetTensors(config)) {
      if (dtype === "F32") {
        expected.push([`${kind === "parameter" ? "grad" : "stat"}.${name}`, shape]);
      }
    }
    assertEquals(
      Object.fromEntries([...golden.tensors].map(([name, { shape }]) => [name, shape])),
      Object.fromEntries(expected),
    );
    assertEquals(parameterCount({ ...config, width: 64, classes: 23 }), golden.parameterCount64);
  });
}

Deno.test("goldenError finds a wrong element, NaN included, also between the samples", () => {
  const golden = goldens[3]!;
  for (const name of ["grad.inc.double_conv.0.weight", "grad.up1.up.weight"]) {
    const { stride, shape, values, max } = golden.tensors.get(name)!;
    assertEquals(stride > 1, name.includes("up1"));
    const found = new Float32Array(shape.reduce((a, b) => a * b, 1));
    values.forEach((value, i) => found[i * stride] = value);
    if (stride === 1) {
      assert(goldenError(golden, name, found) < 1e-7);
      found[5]! += max / 10;
      assert(Math.abs(goldenError(golden, name, found) - 0.1) < 1e-6);
    } else {
      // Zeros between the samples: all samples agree, the norm does not.
      assert(goldenError(golden, name, found) > 1e-2);
    }
    found[1] = NaN;
    assertEquals(goldenError(golden, name, found), NaN);
  }
});
