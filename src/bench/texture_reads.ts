/**
 * A check that an adapter reads storage textures right, in about 20 ms once the driver has the
 * shader: with vectors wider than its own choice, Mesa 25.0.7 was seen to read wrong data.
 * @module
 */
import code from "../../shaders/texture_reads.wgsl" with { type: "text" };

const [SIDE, READS, STEP, LANE_STEP, INVOCATIONS] = [64, 8, 5, 7, 1024];
const TEXELS = SIDE * SIDE;

/** Whether every number is right; all of them are whole and exact in float32. */
export async function readsTexturesRight(device: GPUDevice): Promise<boolean> {
  const found = await run(device);
  for (let i = 0; i < INVOCATIONS; i++) {
    for (let c = 0; c < 4; c++) {
      let expected = 0;
      for (let k = 0; k < READS; k++) {
        expected += (k + 1) * valueAt(((LANE_STEP * i + STEP * k) % TEXELS) * 4 + c);
      }
      if (found[i * 4 + c] !== expected) return false;
    }
  }
  return true;
}

const valueAt = (i: number): number => i % 4093;

async function run(device: GPUDevice): Promise<Float32Array> {
  const texture = device.createTexture({
    label: "texture reads",
    size: [SIDE, SIDE],
    format: "rgba32float",
    usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
  });
  const texels = Float32Array.from({ length: TEXELS * 4 }, (_, i) => valueAt(i));
  device.queue.writeTexture({ texture }, texels, { bytesPerRow: SIDE * 16 }, [SIDE, SIDE]);
  const size = INVOCATIONS * 16;
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const sums = device.createBuffer({ label: "sums", size, usage: STORAGE | COPY_SRC });
  const copy = device.createBuffer({ label: "sums read", size, usage: COPY_DST | MAP_READ });
  const pipeline = await device.createComputePipelineAsync({
    label: "texture_reads",
    layout: "auto",
    compute: { module: device.createShaderModule({ label: "texture_reads", code }) },
  });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [
      { binding: 0, resource: texture.createView() },
      { binding: 1, resource: { buffer: sums } },
    ],
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(INVOCATIONS / 16);
  pass.end();
  encoder.copyBufferToBuffer(sums, 0, copy, 0, size);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(GPUMapMode.READ);
  return new Float32Array(copy.getMappedRange().slice(0));
}
