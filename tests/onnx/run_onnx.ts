/**
 * Runs ONNX models by onnxruntime, in a process of its own: the package is only for tests and large,
 * and whatever stands in the project's lock file is downloaded by everyone.
 *
 * Arguments: the package; with `--probe` nothing more happens than loading it. Jobs come as JSON on
 * standard input, each with the files to read and write (little-endian float32).
 * @module
 */

/** One run of a model. */
export interface OnnxJob {
  model: string;
  /** Elements of the input `image`. */
  image: string;
  /** [batch, channels, height, width]. */
  shape: readonly [number, number, number, number];
  /** Where the elements of the output `logits` go. */
  logits: string;
}

/** What this uses of onnxruntime. */
interface OnnxRuntime {
  env: { wasm: { numThreads: number } };
  Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => OnnxTensor;
  InferenceSession: { create: (model: Uint8Array) => Promise<OnnxSession> };
}

interface OnnxTensor {
  data: Float32Array<ArrayBuffer>;
  dims: readonly number[];
}

interface OnnxSession {
  run: (inputs: Record<string, OnnxTensor>) => Promise<Record<string, OnnxTensor>>;
}

async function run(runtime: OnnxRuntime, job: OnnxJob): Promise<readonly number[]> {
  const session = await runtime.InferenceSession.create(await Deno.readFile(job.model));
  const image = new Float32Array((await Deno.readFile(job.image)).buffer);
  const { logits } = await session.run({
    image: new runtime.Tensor("float32", image, job.shape),
  });
  if (!logits) throw new Error("the model has no output logits");
  await Deno.writeFile(
    job.logits,
    new Uint8Array(logits.data.buffer, logits.data.byteOffset, logits.data.byteLength),
  );
  return logits.dims;
}

if (import.meta.main) {
  const [name = "", probe] = Deno.args;
  const runtime: OnnxRuntime = await import(name);
  runtime.env.wasm.numThreads = 1;
  if (probe === undefined) {
    const jobs: OnnxJob[] = await new Response(Deno.stdin.readable).json();
    const shapes = [];
    for (const job of jobs) shapes.push(await run(runtime, job));
    console.log(JSON.stringify(shapes));
  }
}
