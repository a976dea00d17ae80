/**
 * A WebGPU engine that trains and runs U-Nets for semantic segmentation: symbolic graphs,
 * reverse-mode gradients, planned memory and hand-written WGSL kernels, without dependencies. It
 * uses web standards only, so it runs in Deno and, bundled, in browsers that have WebGPU.
 *
 * Segment a photo, `rgba` with four bytes a pixel, with a trained network:
 *
 * ```ts ignore
 * using gpu = await requestGpu();
 * const bytes = await Deno.readFile("checkpoints/best.safetensors");
 * const net = networkOf(decodeCheckpoint(bytes, "best.safetensors"), "best.safetensors");
 * using segmenter = new Segmenter(gpu, net);
 * const ids = await segmenter.predict({ batch: 1, height, width, pixels: rgba });
 * ```
 *
 * Record and train a network of your own, here a single convolution that learns to find bright
 * pixels, and save it:
 *
 * ```ts
 * import * as unet from "./mod.ts";
 *
 * using gpu = await unet.requestGpu();
 * const store = new unet.ParameterStore();
 * const weight = store.add("conv.weight", [2, 3, 1, 1], new Float32Array(6));
 * const bias = store.add("conv.bias", [2], new Float32Array(2));
 *
 * // Recording: shapes are checked here, nothing runs yet.
 * const graph = new unet.Graph();
 * const image = graph.input("image", { shape: [1, 3, 8, 8], layout: "c4" });
 * const labels = graph.input("labels", { shape: [1, 8, 8], dtype: "u32" });
 * const logits = unet.conv2d(image, graph.parameter(weight), graph.parameter(bias));
 * const loss = unet.crossEntropy(logits, labels);
 * const optimizer = unet.adam();
 * optimizer.record(graph, store, unet.parameterGradients(loss, store));
 *
 * // Compiling: memory is planned, shaders are built. Then every step only replays.
 * using program = await unet.compile(gpu, graph, { outputs: { loss }, stores: [store] });
 * const brightness = (i: number) => (i % 64) / 64;
 * program.write("image", Float32Array.from({ length: 3 * 64 }, (_, i) => brightness(i)));
 * program.write("labels", Uint32Array.from({ length: 64 }, (_, i) => brightness(i) < 0.5 ? 0 : 1));
 * const losses: number[] = [];
 * for (let step = 1; step <= 100; step++) {
 *   program.write("optimizer", optimizer.stepState(0.1, step));
 *   program.run();
 *   losses.push(...await program.read("loss"));
 * }
 * const [first = NaN, last = NaN] = [losses.at(0), losses.at(-1)];
 * if (!(last < first / 2)) throw new Error(`the loss went from ${first} to ${last}`);
 *
 * // Saving: plain safetensors, readable by PyTorch and others.
 * const values = await store.read(gpu);
 * const file = unet.encodeSafetensors(
 *   store.tensors.map(({ name, shape }) => [
 *     name,
 *     unet.float32Tensor(shape, Float32Array.from(values.get(name) ?? [])),
 *   ]),
 * );
 * const { tensors } = unet.parseSafetensors(file, "bright.safetensors");
 * if (!tensors.has("conv.weight")) throw new Error("the weight was not saved");
 * ```
 *
 * @module
 */
export * from "./src/mod.ts";
